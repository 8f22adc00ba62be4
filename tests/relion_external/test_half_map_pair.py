from __future__ import annotations

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_external.errors import UserError
from relion_external.half_map_pair import find_partner, read_external_map, read_pair

VOXEL_SIZE = 1.5


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 4, 4), dtype=np.float32)


def write(path: Path, volume: np.ndarray, voxel_size: float | tuple = VOXEL_SIZE) -> Path:
    mrcfile.write(path, volume, voxel_size=voxel_size)
    return path


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"),
        ("run_half2_class001_unfil.mrc", "run_half1_class001_unfil.mrc"),
        ("emd_1234_half_map_1.map.gz", "emd_1234_half_map_2.map.gz"),
        ("emd_1234_half_map_2.map", "emd_1234_half_map_1.map"),
        ("cryosparc_P1_J2_007_volume_map_half_A.mrc", "cryosparc_P1_J2_007_volume_map_half_B.mrc"),
        ("J2_half_B.mrc", "J2_half_A.mrc"),
    ],
)
def test_the_other_half_is_found_by_its_name(tmp_path, name, other):
    (tmp_path / other).touch()
    assert find_partner(tmp_path / name) == tmp_path / other


def test_only_the_basename_counts_and_only_files_that_exist(tmp_path):
    folder = tmp_path / "half1"
    folder.mkdir()
    assert find_partner(folder / "run_half1.mrc") is None
    (folder / "map.mrc").touch()
    assert find_partner(folder / "map.mrc") is None


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (3, 1, 2)])
def test_any_axis_order_is_read_as_z_y_x(tmp_path, volume, order):
    # mapc, mapr, maps = order: columns of the file run along that axis (1: x, 2: y, 3: z).
    path = write(tmp_path / "a.mrc", volume.transpose([3 - axis for axis in order[::-1]]))
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = order
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = (10 * axis for axis in order)
    found = read_external_map(path)
    np.testing.assert_array_equal(found.volume, volume)
    assert found.placement.start == (10, 20, 30)


def test_gzipped_integers_with_an_origin(tmp_path, volume):
    integers = (10 * volume).astype(np.int16)
    plain = write(tmp_path / "a.map", integers)
    with mrcfile.open(plain, mode="r+") as mrc:
        mrc.header.origin = (1.0, -2.0, 3.5)
    packed = tmp_path / "a.map.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    found = read_external_map(packed)
    assert found.volume.dtype == np.float32
    np.testing.assert_array_equal(found.volume, integers)
    assert found.voxel_size == pytest.approx(VOXEL_SIZE)
    assert found.placement.origin == (1.0, -2.0, 3.5)


def test_voxels_that_are_no_cubes_are_refused(tmp_path, volume):
    path = write(tmp_path / "a.mrc", volume, (1.5, 1.5, 1.6))
    with pytest.raises(
        UserError, match=r"a.mrc has voxels of 1.5000 x 1.5000 x 1.6000 Å; expected"
    ):
        read_external_map(path)


def test_boxes_that_are_no_cubes_are_refused(tmp_path, volume):
    with pytest.raises(UserError, match=r"a.mrc is 4 x 4 x 3 voxels; expected a cube"):
        read_external_map(write(tmp_path / "a.mrc", volume[:3]))


def test_values_that_are_not_finite_are_refused(tmp_path, volume):
    path = write(tmp_path / "a.mrc", volume)
    with mrcfile.mmap(path, mode="r+") as mrc:
        mrc.data[1, 2, 3] = np.nan
    with pytest.raises(UserError, match=r"a.mrc holds 1 value that is not finite, of 64$"):
        read_external_map(path)


def test_complex_values_are_refused(tmp_path, volume):
    path = write(tmp_path / "a.mrc", volume.astype(np.complex64))
    with pytest.raises(UserError, match=r"a.mrc holds complex values; expected the real ones"):
        read_external_map(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty; expected an MRC file"),
        (b"nothing of the kind" * 100, "is not an MRC file"),
        (gzip.compress(b"nothing of the kind" * 100), "is not an MRC file"),
        (gzip.compress(b"nothing of the kind" * 100)[:-12], "is truncated: its gzip stream ends"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, content, found):
    path = tmp_path / "a.mrc"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.mrc {found}"):
        read_external_map(path)


def test_truncated_maps_are_refused(tmp_path, volume):
    whole = write(tmp_path / "a.mrc", volume).read_bytes()
    path = tmp_path / "b.mrc"
    told = "b.mrc is truncated: 1200 bytes{}, 1280 expected from its header"
    path.write_bytes(whole[:1200])
    with pytest.raises(UserError, match=told.format("")):
        read_external_map(path)
    path.write_bytes(gzip.compress(whole[:1200]))
    with pytest.raises(UserError, match=told.format(" when unpacked")):
        read_external_map(path)
    path.write_bytes(gzip.compress(whole)[:-30])
    with pytest.raises(UserError, match=r"b.mrc is truncated: its gzip stream ends early"):
        read_external_map(path)


def test_one_file_is_no_pair(tmp_path, volume):
    path = write(tmp_path / "a.mrc", volume)
    link = tmp_path / "b.mrc"
    link.symlink_to(path)
    with pytest.raises(UserError, match="are the same file"):
        read_pair(path, link)


def test_a_copy_is_no_pair(tmp_path, volume):
    paths = [write(tmp_path / name, volume) for name in ("a.mrc", "b.mrc")]
    with pytest.raises(UserError, match="hold the same map; expected two half-maps"):
        read_pair(*paths)


def test_boxes_must_agree(tmp_path, volume):
    paths = write(tmp_path / "a.mrc", volume), write(tmp_path / "b.mrc", volume[:2, :2, :2])
    with pytest.raises(UserError, match=r"a.mrc has a box of 4, .*b.mrc of 2; expected"):
        read_pair(*paths)


def test_voxel_sizes_must_agree(tmp_path, volume):
    paths = write(tmp_path / "a.mrc", volume), write(tmp_path / "b.mrc", -volume, 1.6)
    with pytest.raises(UserError, match=r"voxels of 1.5000 Å, .* of 1.6000 Å; expected the same"):
        read_pair(*paths)
