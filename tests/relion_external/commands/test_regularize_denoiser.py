"""Half-maps without RELION, denoised: each by itself, and called so."""

from __future__ import annotations

import re

import mrcfile
import numpy as np
import pytest
import starfile

torch = pytest.importorskip("torch")

from plugin_core.denoising.network import DenoisingNetwork
from relion_external import network_weights, star
from relion_external.cli import main

BOX, VOXEL_SIZE = 36, 2.0
NAMES = ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc")


def half_map(seed: int, noise: float = 0.3) -> np.ndarray:
    """Two blobs in noise."""
    axis = np.arange(BOX) - BOX // 2
    square = [((axis - x) ** 2)[:, None, None] + (axis**2)[:, None] + axis**2 for x in (-4, 4)]
    truth = np.exp(-square[0] / 3) + np.exp(-square[1] / 12)
    field = np.random.default_rng(seed).standard_normal((BOX,) * 3)
    return (truth + noise * field).astype(np.float32)


def write(path, volume: np.ndarray, voxel_size: float = VOXEL_SIZE) -> None:
    mrcfile.write(path, volume.astype(np.float32), voxel_size=voxel_size, overwrite=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Working directory with two raw half-maps and a small random network."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(NAMES, start=1):
        write(tmp_path / name, half_map(seed, 0.1))
    torch.manual_seed(5)
    state = DenoisingNetwork(1).state_dict()
    state["outc.weight"] *= 3
    torch.save(
        {"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, tmp_path / "weights.pt"
    )
    monkeypatch.setenv(network_weights.VARIABLE, "weights.pt")
    return tmp_path


def regularize(*options: str) -> int:
    own = ["--o", "out", "--method", "denoiser", "--particle_diameter", "40", "--gpu", "cpu"]
    return main(["regularize", "--i", NAMES[0], *own, "--j", "1", *options])


def test_all_outputs_are_there_and_say_what_they_are(folder, capsys):
    assert regularize() == 0
    assert re.search(
        r"out_regularized\.mrc: denoised in 1 blocks by weights\.pt, FSC of the raw half-maps: 0",
        capsys.readouterr().out,
    )
    names = {path.name for path in folder.glob("out*")}
    assert {
        "out_half1_regularized.mrc", "out_half2_regularized.mrc", "out_regularized.mrc",
        "out_mask.mrc", "out_fsc.star", "out_fsc.xml", "out.cxc", "out_report.pdf",
        "out_report.png", "out_regularize.log",
    } <= names  # fmt: skip
    assert "out_cutoff.mrc" not in names
    maps = [mrcfile.read(f"out_{name}.mrc") for name in
            ("half1_regularized", "half2_regularized", "regularized")]  # fmt: skip
    np.testing.assert_allclose(maps[2], (maps[0] + maps[1]) / 2, atol=1e-6)
    for path in folder.glob("out_*.mrc"):
        with mrcfile.open(path) as mrc:
            label = str(mrc.get_labels()[-1])
        assert ("DENOISED" in label) == ("regularized" in path.name)
    assert "color sample" not in (folder / "out.cxc").read_text()
    assert (
        "weights: weights.pt (RELION_EXTERNAL_WEIGHTS), SHA-256 "
        in (folder / "out_regularize.log").read_text()
    )


def test_the_fsc_is_that_of_the_raw_maps(folder):
    assert regularize() == 0
    denoised = starfile.read("out_fsc.star")["fsc"][star.FSC_UNMASKED]
    own = ["--o", "other", "--particle_diameter", "40"]
    assert main(["regularize", "--i", NAMES[0], *own]) == 0
    raw = starfile.read("other_fsc.star")["fsc"][star.FSC_UNMASKED]
    np.testing.assert_array_equal(denoised, raw)


def test_each_half_map_is_denoised_by_itself(folder):
    """Half 2 matters to half 1 by their FSC alone, which has no scale."""
    assert regularize() == 0
    before = mrcfile.read("out_half1_regularized.mrc")
    other = mrcfile.read("out_half2_regularized.mrc")
    write(NAMES[1], 2 * mrcfile.read(NAMES[1]))
    assert regularize() == 0
    np.testing.assert_array_equal(mrcfile.read("out_half1_regularized.mrc"), before)
    assert not np.array_equal(mrcfile.read("out_half2_regularized.mrc"), other)


def test_maps_finer_than_the_network_are_wiener_filtered_beyond_it(folder):
    """1 Å voxels: 36 Å are 24 voxels of 1.5 Å, and shell 12 is the network's last."""
    for seed, name in enumerate(NAMES, start=1):
        write(name, half_map(seed, 0.005), voxel_size=1.0)
    assert regularize("--particle_diameter", "20", "--trailing_distance", "0") == 0
    denoised = np.fft.fftn(mrcfile.read("out_half1_regularized.mrc"))[0, 0, 13:16]
    own = ["--o", "other", "--particle_diameter", "20", "--method", "uniform"]
    assert main(["regularize", "--i", NAMES[0], *own]) == 0
    uniform = np.fft.fftn(mrcfile.read("other_half1_regularized.mrc"))[0, 0, 13:16]
    np.testing.assert_allclose(denoised, uniform, rtol=1e-3)
    assert abs(uniform).min() > 0


def test_one_half_map_alone_is_served_with_a_warning(folder, capsys):
    (folder / NAMES[1]).unlink()
    assert regularize("--particle_diameter", "20") == 0
    assert "no second half-map was given or found" in capsys.readouterr().err
    assert mrcfile.read("out_regularized.mrc").shape == (BOX,) * 3


def refusal(capsys, *options: str) -> str:
    assert regularize(*options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("relion-external: error: ")
    return error


def test_half_maps_that_are_not_superposed_are_refused(folder, capsys):
    write(NAMES[1], np.roll(half_map(2, 0.1), (5, -7, 6), (0, 1, 2)))
    assert "The half-maps disagree even to" in refusal(capsys)
    assert not list(folder.glob("out_*.mrc"))


def test_half_maps_of_different_boxes_or_voxels_are_refused(folder, capsys):
    write(NAMES[1], half_map(2)[:-2, :-2, :-2])
    assert "has a box of 36" in refusal(capsys)
    write(NAMES[1], half_map(2), voxel_size=2.1)
    assert "voxels of 2.0000 Å" in refusal(capsys)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--weights", "gone.pt"), "--weights names gone.pt, which is not a file"),
        (("--stride", "50"), "--stride 50: the stride must be from 1 to 44"),
        (("--precision", "float16"), "--precision float16 takes a GPU"),
        (("--gpu", "0"), "--gpu 0 was asked for, but there is no such GPU"),
        (("--levels", "20"), "--levels is for --method nonuniform, and this is denoiser"),
    ],
)
def test_bad_input_gets_one_sentence(folder, capsys, monkeypatch, options, told):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert told in refusal(capsys, *options)
    assert not list(folder.glob("out_*.mrc"))


def test_missing_pytorch_is_told(folder, capsys, monkeypatch):
    monkeypatch.setattr(network_weights, "find_spec", lambda name: None)
    assert "the denoiser needs PyTorch" in refusal(capsys)
