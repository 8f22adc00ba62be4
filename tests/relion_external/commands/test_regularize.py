from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from plugin_core.masks import soft_sphere
from plugin_core.postprocessing.fsc_set import FscSet
from relion_external import standalone, star
from relion_external.cli import main

BOX, VOXEL_SIZE = 32, 2.0
NAMES = ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc")


def half_map(seed: int, noise: float = 0.5) -> np.ndarray:
    """A textured ball, the same in all, in noise."""
    texture = np.random.default_rng(100).standard_normal((BOX,) * 3)
    spectrum = np.fft.rfftn(texture)
    frequency = np.sqrt(sum(np.meshgrid(*[np.fft.fftfreq(BOX) ** 2] * 3, indexing="ij")))
    fall_off = np.exp(-12 * frequency)[:, :, : BOX // 2 + 1]
    ball = np.fft.irfftn(spectrum * fall_off, s=(BOX,) * 3, axes=(0, 1, 2)) * soft_sphere(BOX, 9, 3)
    ball /= ball.std()
    field = np.random.default_rng(seed).standard_normal((BOX,) * 3)
    return (ball + noise * field).astype(np.float32)


def write(path: Path, volume: np.ndarray) -> None:
    mrcfile.write(path, volume.astype(np.float32), voxel_size=VOXEL_SIZE, overwrite=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with two raw half-maps."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(NAMES):
        write(tmp_path / name, half_map(seed))
    return tmp_path


def regularize(*options: str) -> int:
    return main(
        ["regularize", "--i", NAMES[0], "--o", "out", "--particle_diameter", "40", *options]
    )


def test_all_outputs_are_there_and_say_what_they_are(folder, capsys):
    assert regularize() == 0
    assert "out_regularized.mrc: local cutoff median" in capsys.readouterr().out
    half1, half2, average = (
        mrcfile.read(folder / f"out_{name}.mrc")
        for name in ("half1_regularized", "half2_regularized", "regularized")
    )
    np.testing.assert_allclose(average, (half1 + half2) / 2, atol=1e-6)
    for path in folder.glob("out_*.mrc"):
        with mrcfile.open(path) as mrc:
            assert mrc.voxel_size.x == pytest.approx(VOXEL_SIZE)
            label = str(mrc.get_labels()[-1])
        assert ("REGULARISED" in label) == ("regularized" in path.name)
    assert (folder / "out_report.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "out_report.png").read_bytes().startswith(b"\x89PNG")
    assert "color sample #1 map #2" in (folder / "out.cxc").read_text()
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize(
    ("prefix", "written"),
    [
        ("new/folder/map", "new/folder/map_regularized.mrc"),
        ("new/", "new/map_regularized.mrc"),
        ("old", "old/map_regularized.mrc"),
        ("new/x.mrc", "new/x_regularized.mrc"),
        ("1.5", "1.5_regularized.mrc"),
    ],
)
def test_outputs_go_where_they_are_asked_for(folder, prefix, written):
    (folder / "old").mkdir()
    assert regularize("--o", prefix, "--method", "uniform") == 0
    assert (folder / written).exists()
    log = written.replace("regularized.mrc", "regularize.log")
    assert (folder / log).exists()


def test_a_folder_that_cannot_be_made_is_told(folder, capsys):
    assert regularize("--o", f"{NAMES[0]}/map") == 1
    assert f"the folder {NAMES[0]} cannot be made: File exists" in capsys.readouterr().err


def test_regularised_maps_are_nearer_to_the_truth(folder):
    regularize()
    truth = half_map(0, noise=0)
    raw = mrcfile.read(folder / NAMES[0])
    ball = soft_sphere(BOX, 9, 3) > 0.5
    error = [
        ((volume - truth)[ball] ** 2).mean()
        for volume in (raw, mrcfile.read(folder / "out_half1_regularized.mrc"))
    ]
    assert error[1] < 0.5 * error[0]


def test_the_fsc_is_that_of_the_raw_maps(folder):
    regularize()
    table = starfile.read(folder / "out_fsc.star")["fsc"]
    transforms = [np.fft.fftn(mrcfile.read(folder / name).astype(float)) for name in NAMES]
    axis = np.fft.fftfreq(BOX, 1 / BOX) ** 2
    radius = np.sqrt(axis[:, None, None] + axis[:, None] + axis)
    shell = np.floor(radius + 0.5).astype(int)
    for number in (1, 5, 12):
        one, two = (transform[shell == number] for transform in transforms)
        expected = (one * two.conj()).sum().real
        expected /= np.sqrt((abs(one) ** 2).sum() * (abs(two) ** 2).sum())
        assert table[star.FSC_UNMASKED][number] == pytest.approx(expected, abs=1e-5)


def test_the_resolution_is_the_half_maps_own_whatever_regularises_them(folder, capsys):
    """The FSC, its mask included, is bit for bit the same."""
    seen, lines = [], []
    for options in (
        ("--method", "uniform"),
        ("--method", "nonuniform"),
        ("--levels", "2"),
        ("--trailing_distance", "8"),
    ):
        assert regularize(*options) == 0
        table = (folder / "out_fsc.star").read_text().partition("data_general")[2]  # no date
        curve = (folder / "out_fsc.xml").read_text()
        seen.append((table, curve, mrcfile.read(folder / "out_mask.mrc").tobytes()))
        lines.append(capsys.readouterr().out.partition("FSC of the raw")[2])
    assert seen[1:] == seen[:1] * 3
    assert lines[1:] == lines[:1] * 3


def test_the_line_tells_how_much_the_mask_fills_and_the_resolution_without_it(folder, capsys):
    regularize()
    line = capsys.readouterr().out
    filled = 100 * mrcfile.read(folder / "out_mask.mrc").mean(dtype=float)
    fsc = starfile.read(folder / "out_fsc.star")["fsc"]
    last = np.flatnonzero(fsc[star.FSC_UNMASKED][1:] < 0.143)[0]
    unmasked = BOX * VOXEL_SIZE / last
    assert 0 < filled < 50
    assert f"(in a mask of {filled:.1f} % of the box; without mask at {unmasked:.1f} Å)" in line


def test_cutoffs_are_in_angstrom_and_zero_outside_the_support(folder):
    regularize()
    cutoff = mrcfile.read(folder / "out_cutoff.mrc")
    assert cutoff[0, 0, 0] == 0
    inside = cutoff[cutoff > 0]
    assert inside.min() >= 2 * VOXEL_SIZE * 0.999
    assert inside.max() <= 40.001


def test_no_cutoff_is_finer_than_the_end_of_the_map_and_all_quote_the_same_ones(folder, capsys):
    regularize("--trailing_distance", "99")  # the map ends at shell 1
    assert mrcfile.read(folder / "out_cutoff.mrc").max() == pytest.approx(BOX * VOXEL_SIZE)
    capsys.readouterr()
    regularize("--trailing_distance", "6")
    fsc = starfile.read(folder / "out_fsc.star")["fsc"]
    cutoff = mrcfile.read(folder / "out_cutoff.mrc")
    inside = cutoff[cutoff > 0]
    ends = inside.min()
    assert ends > 1.3 * BOX * VOXEL_SIZE / np.flatnonzero(fsc[star.FSC_MASKED] < 0.143)[0]
    transform = abs(np.fft.fftn(mrcfile.read(folder / "out_regularized.mrc").astype(float)))
    last = round(BOX * VOXEL_SIZE / ends)
    assert transform[0, 0, last + 2] < 1e-4 * transform[0, 0, last - 1]
    fine, median, coarse = np.percentile(inside, (5, 50, 95))
    assert (
        f"local cutoff median {median:.1f} Å (5th to 95th percentile {fine:.1f} to {coarse:.1f} Å)"
    ) in capsys.readouterr().out


def test_symmetry_is_imposed(folder):
    regularize("--sym", "C4")
    volume = mrcfile.read(folder / "out_regularized.mrc")[:, 1:, 1:]  # centred on a voxel
    np.testing.assert_allclose(np.rot90(volume, axes=(1, 2)), volume, atol=1e-3 * volume.max())


def test_one_half_map_alone_is_served_with_a_warning(folder, capsys):
    (folder / NAMES[1]).unlink()
    assert regularize("--particle_diameter", "20") == 0
    assert "no second half-map was given or found" in capsys.readouterr().err
    assert not (folder / "out_fsc.star").exists()
    assert mrcfile.read(folder / "out_regularized.mrc").shape == (BOX,) * 3


def test_one_half_map_alone_needs_to_know_its_solvent(folder, capsys):
    (folder / NAMES[1]).unlink()
    assert main(["regularize", "--i", NAMES[0], "--o", "out"]) == 1
    assert (
        f"no second half-map found for {NAMES[0]}: give it as --i2 (or, to filter this map alone, "
        "--particle_diameter)"
    ) in capsys.readouterr().err


def test_noise_cannot_be_measured_where_there_is_no_solvent(folder, capsys):
    (folder / NAMES[1]).unlink()
    assert regularize() == 1
    assert "too little to measure the noise in; give a smaller" in capsys.readouterr().err


def test_the_uniform_filter_has_no_local_cutoffs(folder, capsys):
    assert regularize("--method", "uniform") == 0
    assert "one Wiener filter, half noise at" in capsys.readouterr().out
    assert not (folder / "out_cutoff.mrc").exists()
    assert "color sample" not in (folder / "out.cxc").read_text()


def test_a_mask_takes_the_place_of_the_sphere(folder):
    mask = np.zeros((BOX,) * 3, np.float32)
    mask[8:24, 8:24, 4:28] = 1
    write(folder / "mask.mrc", mask)
    assert regularize("--mask", "mask.mrc") == 0
    cutoff = mrcfile.read(folder / "out_cutoff.mrc")
    np.testing.assert_array_equal(cutoff > 0, mask > 0)


@pytest.mark.parametrize(
    ("voxel_size", "warned"), [(0, False), (VOXEL_SIZE * 1.009, False), (VOXEL_SIZE * 1.02, True)]
)
def test_a_mask_of_other_voxels_is_warned_about(folder, capsys, voxel_size, warned):
    mask = soft_sphere(BOX, 11, 3)
    mrcfile.write(folder / "mask.mrc", mask, voxel_size=voxel_size)
    assert regularize("--mask", "mask.mrc", "--method", "uniform") == 0
    sentence = "mask.mrc has voxels of 2.04 Å, the map to be masked of 2 Å: is it the right mask?"
    assert (sentence in capsys.readouterr().err) == warned


def test_the_help_tells_all_that_the_mask_does(capsys):
    with pytest.raises(SystemExit):
        main(["regularize", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "it confines the filter, and is the mask of the FSC as well" in told


def test_masked_half_maps_are_warned_about(folder, capsys):
    for seed, name in enumerate(NAMES):
        write(folder / name, half_map(seed) * (soft_sphere(BOX, 10, 2) > 0))
    assert regularize() == 0
    assert "Half-map 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--i2", NAMES[0]), "are the same file"),
        (("--i2", "gone.mrc"), "gone.mrc does not exist"),
        (("--sym", "T"), "--sym T: the symmetry must be Cn, Dn, O or I1"),
        (("--gpu", "7"), "--gpu 7 was asked for, but there is no such GPU"),
        (("--mask", "gone.mrc"), "gone.mrc does not exist"),
        (("--particle_diameter", "8"), "--particle_diameter 8 Å is 4.0 voxels; expected 10 (20.0"),
        (("--particle_diameter", "65"), "65 Å is 32.5 voxels; expected 10 (20.0 Å) to the 32 of"),
    ],
)
def test_bad_input_gets_one_sentence(folder, capsys, options, sentence):
    assert regularize(*options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("relion-external: error: ")
    assert sentence in error
    assert not list(folder.glob("out_*.mrc"))
    assert " ERROR " in (folder / "out_regularize.log").read_text()


OTHER_HALVES = {
    "noise": (lambda half: half_map(5) - half_map(0, noise=0), "disagree even to 32 Å"),
    "shifted": (lambda half: np.roll(half, (5, -7, 6), (0, 1, 2)), "disagree even to 32 Å"),
    "inverted": (lambda half: -half, "contrast of the other reversed: multiply it by -1"),
    "empty": (lambda half: 0 * half, f"{NAMES[1]} is 0 everywhere; expected a raw half-map"),
}


@pytest.mark.parametrize("method", ["uniform", "nonuniform"])
@pytest.mark.parametrize("other", OTHER_HALVES)
def test_half_maps_that_disagree_are_refused(folder, capsys, other, method):
    change, sentence = OTHER_HALVES[other]
    write(folder / NAMES[1], change(half_map(1)))
    assert regularize("--method", method) == 1
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(folder.glob("out_*.mrc"))


def test_half_maps_that_disagree_in_the_mask_are_refused(folder, capsys):
    """A mask of solvent."""
    mask = np.zeros((BOX,) * 3, np.float32)
    mask[:4] = 1
    write(folder / "mask.mrc", mask)
    assert regularize("--mask", "mask.mrc") == 1
    assert "disagree" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(folder.glob("out_*.mrc"))


def test_an_fsc_that_starts_below_the_threshold_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(FscSet, "resolution_angstrom", lambda *_: np.inf)
    assert regularize("--method", "uniform") == 1
    assert "their FSC in the mask is below 0.143 from the first" in capsys.readouterr().err
    assert not list(folder.glob("out_*.mrc"))


def test_maps_of_this_program_are_refused(folder, capsys):
    assert regularize("--method", "uniform") == 0
    assert regularize("--i", "out_half1_regularized.mrc", "--o", "again") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "out_half1_regularized.mrc is called 'relion-external" in error
    assert error.endswith(
        "REGULARISED half-map, not for FSC' in its header; expected a raw half-map"
    )
    assert not list(folder.glob("again_*.mrc"))


def test_a_voxel_size_that_is_missing_is_asked_for(folder, capsys):
    for name in NAMES:
        with mrcfile.open(folder / name, mode="r+") as mrc:
            mrc.voxel_size = 0
    assert regularize() == 1
    assert "does not tell its voxel size; give --angpix" in capsys.readouterr().err
    assert regularize("--angpix", "2") == 0


def test_running_out_of_memory_is_one_sentence(folder, capsys, monkeypatch):
    def run_out(*_: object) -> None:
        raise MemoryError("Unable to allocate 7 EiB")

    monkeypatch.setattr(standalone.nonuniform, "regularize", run_out)
    assert regularize() == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "CPU has too little memory for box 32: about 0.1 GB needed" in error
    assert not list(folder.glob("out_*.mrc"))
