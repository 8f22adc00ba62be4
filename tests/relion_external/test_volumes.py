"""MRC files: what is accepted, and that a file is whole or as it was before."""

from __future__ import annotations

import gc
import os
import resource

import mrcfile
import numpy as np
import pytest

from relion_external import volumes
from relion_external.errors import UserError

VOLUME = np.random.default_rng(0).standard_normal((6, 6, 6), dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "map.mrc"


def write(path, volume=VOLUME):
    volumes.write_map(path, volume, 1.25, "a label")


def test_a_map_comes_back_as_it_was_written(path):
    write(path)
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(mrc.data, VOLUME)
        assert mrc.voxel_size.tolist() == (1.25, 1.25, 1.25)
        assert mrc.header.origin.tolist() == (0, 0, 0)
        assert mrc.get_labels()[-1] == "a label"
    assert mrcfile.validate(path)
    np.testing.assert_array_equal(volumes.read_map(path, 6), VOLUME)
    assert list(path.parent.iterdir()) == [path]


def test_a_map_is_placed_where_it_belongs(path):
    placement = volumes.Placement(origin=(1.5, 2.5, 3.5), start=(-3, -2, -1))
    volumes.write_map(path, VOLUME, 1.25, "a label", placement)
    with mrcfile.open(path) as mrc:
        assert mrc.header.origin.tolist() == (1.5, 2.5, 3.5)
        assert mrc.nstart.tolist() == (-3, -2, -1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_not_written(path, value):
    write(path)
    wrong = VOLUME.copy()
    wrong[1, 2, 3] = value
    with pytest.raises(UserError, match=r"map.mrc was not written: .* not finite"):
        write(path, wrong)
    np.testing.assert_array_equal(volumes.read_map(path, 6), VOLUME)


# mrcfile leaves its file open when the last write fails; nobody but the tests' filter minds.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_leaves_the_old_map(path):
    write(path)
    large = np.zeros((40, 40, 40), np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=r"map.mrc cannot be written: File too large"):
            write(path, large)
    finally:
        gc.collect()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(volumes.read_map(path, 6), VOLUME)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_told(path):
    path.mkdir()
    with pytest.raises(UserError, match=r"map.mrc cannot be written: Is a directory"):
        write(path)
    assert list(path.parent.iterdir()) == [path]


def test_what_was_written_is_read_back(path, monkeypatch):
    real = os.path.getsize  # a disk that loses the end of the file
    monkeypatch.setattr(
        volumes, "_open", lambda path: np.zeros((6, 6, 6), np.float32) if real(path) else None
    )
    with pytest.raises(UserError, match="differ from the map's"):
        write(path)
    assert list(path.parent.iterdir()) == []


def test_a_map_of_another_size_is_refused(path):
    write(path)
    with pytest.raises(UserError, match="has 6 x 6 x 6 values, but the STAR file asks for 8 x 8 x"):
        volumes.read_map(path, 8)


def test_a_map_of_another_type_is_refused(path):
    mrcfile.write(path, np.zeros((6, 6, 6), np.int16))
    with pytest.raises(UserError, match=r"holds int16 values, expected 32-bit reals"):
        volumes.read_map(path, 6)


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (0, "is empty; expected an MRC file"),
        (500, "is truncated: 500 bytes, 1024 expected from its header"),
        (1024, "is truncated: 1024 bytes, 1888 expected from its header"),
        (1887, "is truncated: 1887 bytes, 1888 expected from its header"),
    ],
)
def test_a_truncated_map_is_refused(path, size, found):
    write(path)
    os.truncate(path, size)
    with pytest.raises(UserError, match=rf"map.mrc {found}$"):
        volumes.read_map(path, 6)


@pytest.mark.parametrize("words", [1, 1000])
def test_text_is_no_map(path, words):
    path.write_text("hello " * words)
    with pytest.raises(UserError, match=r"map.mrc is not an MRC file$"):
        volumes.read_map(path, 6)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.filterwarnings("ignore:Data array contains NaN values:RuntimeWarning")
def test_a_map_that_is_not_finite_is_refused(path, count):
    wrong = VOLUME.copy()
    wrong[1, 2, :count] = np.nan
    mrcfile.write(path, wrong)
    what = ["value that is", "values that are"][count - 1]
    with pytest.raises(UserError, match=rf"map.mrc holds {count} {what} not finite, of 216$"):
        volumes.read_map(path, 6)


def test_a_missing_map_is_told(path):
    with pytest.raises(UserError, match=r"map.mrc does not exist"):
        volumes.read_map(path, 6)


@pytest.mark.parametrize("header", [0, 1])
def test_relions_headers_of_the_arrays_are_accepted(path, header):
    """RELION 3.1 leaves the cell at zero, 4 and 5 set it to the number of voxels."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(VOLUME)
        mrc.header.cella = tuple([6.0 * header] * 3)
    np.testing.assert_array_equal(volumes.map_array(path, (6, 6, 6)), VOLUME)


def test_a_mask(path):
    mask = np.linspace(0, 1, 216, dtype=np.float32).reshape(6, 6, 6)
    write(path, mask + np.float32(5e-4))  # rounding of interpolated masks is forgiven
    found = volumes.read_mask(path, 6)
    assert found.max() == 1
    np.testing.assert_allclose(found, mask, atol=6e-4)


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (VOLUME, "has values from -.* to .*; expected a mask from 0 to 1"),
        (3 * np.ones((6, 6, 6)), "has values from 3 to 3; expected a mask from 0 to 1"),
        (np.full((6, 6, 6), 0.3), "has values from 0.3 to 0.3; expected a mask from 0 to 1"),
        (np.zeros((6, 6, 6)), "has values from 0 to 0; expected a mask from 0 to 1"),
        (np.full((6, 6, 6), np.nan), "holds 216 values that are not finite, of 216"),
    ],
)
@pytest.mark.filterwarnings("ignore:Data array contains NaN values:RuntimeWarning")
def test_what_is_no_mask_is_refused(path, mask, found):
    mrcfile.write(path, mask.astype(np.float32))
    with pytest.raises(UserError, match=f"map.mrc {found}"):
        volumes.read_mask(path, 6)
