from __future__ import annotations

import mrcfile
import numpy as np
import pytest

pytest.importorskip("torch")

from plugin_core import fourier
from plugin_core.masks import soft_sphere
from relion_external.errors import UserError
from relion_external.training_pairs import (
    PairFiles,
    find_pairs,
    keep_pair,
    read_kept,
)

BOX = 64


def _write(path, volume, voxel_size=1.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, compression="gzip" if path.suffix == ".gz" else None) as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.voxel_size = voxel_size


def _blob(seed: int) -> np.ndarray:
    """Density of a lumpy particle at about 8 Å."""
    rng = np.random.default_rng(seed)
    white = fourier.rfftn(rng.standard_normal((BOX,) * 3).astype(np.float32))
    gain = fourier.raised_cosine_low_pass(fourier.radii(BOX), 9.0, 3.0)
    lumpy = fourier.irfftn(fourier.apply_radial(white, gain), BOX)
    return (lumpy / lumpy.std() + 0.5) * soft_sphere(BOX, 14, 4)


@pytest.fixture
def halves() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    noise = 0.3 * rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    return _blob(0) + noise[0], _blob(0) + noise[1]


def test_pairs_are_found_by_the_names_of_relion_the_emdb_and_cryosparc(tmp_path, halves):
    names = [
        ("relion/run_half1_class001_unfil.mrc", "relion/run_half2_class001_unfil.mrc"),
        ("emd_1/emd_1_half_map_1.map.gz", "emd_1/emd_1_half_map_2.map.gz"),
        ("sparc/J1_map_half_A.mrc", "sparc/J1_map_half_B.mrc"),
    ]
    for pair in names:
        for name, half in zip(pair, halves, strict=True):
            _write(tmp_path / name, half)
    _write(tmp_path / "emd_1/emd_1_msk_1.map", soft_sphere(BOX, 16, 4))
    _write(tmp_path / "lonely/run_half1.mrc", halves[0])
    found = find_pairs([tmp_path])
    assert sorted((p.half1.name, p.half2.name) for p in found) == sorted(
        (a.split("/")[1], b.split("/")[1]) for a, b in names
    )
    masks = {p.half1.name: p.mask.name for p in found if p.mask}
    assert masks == {"emd_1_half_map_1.map.gz": "emd_1_msk_1.map"}


def test_pairs_are_found_in_a_star_file(tmp_path, halves):
    for name, half in zip(("a.mrc", "b.mrc"), halves, strict=True):
        _write(tmp_path / name, half)
    _write(tmp_path / "m.mrc", soft_sphere(BOX, 16, 4))
    star = tmp_path / "pairs.star"
    star.write_text(
        "data_\n\nloop_\n_rlnUnfilteredMapHalf1 #1\n_rlnUnfilteredMapHalf2 #2\n_rlnMaskName #3\n"
        f"{tmp_path}/a.mrc {tmp_path}/b.mrc {tmp_path}/m.mrc\n"
    )
    (pair,) = find_pairs([star])
    assert (pair.half1, pair.half2, pair.mask) == tuple(
        tmp_path / name for name in ("a.mrc", "b.mrc", "m.mrc")
    )


def test_a_kept_pair_is_the_files_at_the_networks_voxel_size(tmp_path):
    smooth = _blob(0)
    files = PairFiles("p", tmp_path / "half1.mrc", tmp_path / "half2.mrc", tmp_path / "mask.mrc")
    for path, volume in zip(
        (files.half1, files.half2, files.mask),
        (smooth, 0.9 * smooth, soft_sphere(BOX, 16, 4)),
        strict=True,
    ):
        _write(path, volume, voxel_size=3.0)
    kept = keep_pair(files, tmp_path)
    pair = read_kept(kept)
    assert pair.inputs[0].shape == (2 * BOX,) * 3
    assert np.std(pair.inputs) == pytest.approx(1, abs=1e-3)
    # Every other voxel is a voxel of the file, up to a common scale and half precision.
    every_other = pair.inputs[0][::2, ::2, ::2]
    scale = (every_other * smooth).sum() / (smooth**2).sum()
    assert every_other / scale == pytest.approx(smooth, abs=3e-3 * float(smooth.max()))
    assert pair.targets[0] is pair.inputs[1]
    before = kept.stat().st_mtime_ns
    assert keep_pair(files, tmp_path) == kept
    assert kept.stat().st_mtime_ns == before


def test_a_missing_mask_is_made_about_the_density(tmp_path, halves):
    files = PairFiles("p", tmp_path / "half1.mrc", tmp_path / "half2.mrc")
    _write(files.half1, halves[0])
    _write(files.half2, halves[1])
    mask = read_kept(keep_pair(files, tmp_path)).mask
    assert mask[soft_sphere(BOX, 10, 1) == 1].mean() > 0.95
    assert mask[0].max() < 0.05


def test_the_truth_is_the_target_where_it_is_known(tmp_path, halves):
    for name, volume in (("half1", halves[0]), ("half2", halves[1]), ("truth", _blob(0))):
        _write(tmp_path / f"entry/{name}.mrc", volume)
    (files,) = find_pairs([tmp_path])
    pair = read_kept(keep_pair(files, tmp_path))
    assert pair.targets[0] is pair.targets[1]
    assert np.corrcoef(pair.targets[0].ravel(), _blob(0).ravel())[0, 1] > 0.999


def test_halves_that_are_not_superposed_are_refused(tmp_path, halves):
    files = PairFiles("p", tmp_path / "half1.mrc", tmp_path / "half2.mrc")
    _write(files.half1, halves[0])
    _write(files.half2, np.roll(halves[1], 12, axis=2))
    with pytest.raises(UserError, match=r"half1\.mrc and .*half2\.mrc .*are they superposed"):
        keep_pair(files, tmp_path)


def test_halves_of_different_boxes_are_refused(tmp_path, halves):
    files = PairFiles("p", tmp_path / "half1.mrc", tmp_path / "half2.mrc")
    _write(files.half1, halves[0])
    _write(files.half2, halves[1][12:-12, 12:-12, 12:-12])
    with pytest.raises(UserError, match=r"box of 64.* of 40"):
        keep_pair(files, tmp_path)


def test_a_mask_of_another_box_is_refused(tmp_path, halves):
    files = PairFiles("p", tmp_path / "half1.mrc", tmp_path / "half2.mrc", tmp_path / "mask.mrc")
    _write(files.half1, halves[0])
    _write(files.half2, halves[1])
    _write(files.mask, np.ones((40,) * 3))
    with pytest.raises(UserError, match=r"mask\.mrc has a box of 40; its half-maps have 64"):
        keep_pair(files, tmp_path)


def test_a_source_without_pairs_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no pair of half-maps; expected two files"):
        find_pairs([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        find_pairs([tmp_path / "nowhere"])
    star = tmp_path / "x.star"
    star.write_text("data_\n\nloop_\n_rlnMicrographName #1\na.mrc\n")
    with pytest.raises(UserError, match="no loop with the columns _rlnUnfilteredMapHalf1"):
        find_pairs([star])
