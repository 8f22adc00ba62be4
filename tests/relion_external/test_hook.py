"""Whole calls of the hook through real files: what is written, logged and printed."""

from __future__ import annotations

import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.fft

from plugin_core import noise
from plugin_core.backend import Device
from plugin_core.masks import particle_sphere
from relion_external import __version__, devices, hook, hook_variable
from relion_external.system import ask

NOTHING = np.zeros(9)  # the FSC of a classification


def powers(volume: np.ndarray) -> np.ndarray:
    """Power in each shell up to the corners, summed."""
    axis = np.fft.fftfreq(volume.shape[0], 1 / volume.shape[0])
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    shell = np.floor(radius + 0.5).astype(int)
    return np.bincount(shell.ravel(), weights=(np.abs(np.fft.fftn(volume)) ** 2).ravel())


def error(volume: np.ndarray, truth: np.ndarray) -> float:
    return float(((volume - truth) ** 2).sum() / (truth**2).sum())


@pytest.fixture(autouse=True)
def _previous_iteration(project):
    project.previous_iteration()


# ---- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["nonuniform", "uniform"])
@pytest.mark.parametrize(
    ("name", "fsc"),
    [
        ("run_it003_half1_class001", True),
        ("run_it003_half2_class001", True),
        ("run_it003_class001", True),
        ("run_it003_class002", False),
        ("run_it003_half1_body001", True),
        ("run_ct5_it003_half1_class001", True),
        ("run_it1003_half1_class001", True),
    ],
)
def test_every_kind_of_call_is_answered_with_a_better_map(project, reconstruct, name, fsc, method):
    star = project.call(name, fsc=project.fsc if fsc else NOTHING)
    raw = reconstruct(star, "--method", "uniform", "--minres_map", 999).map()
    answered = reconstruct(star, "--method", method)
    assert answered.status == 0
    volume = answered.map()
    assert (volume.shape, volume.dtype) == ((16, 16, 16), np.float32)
    assert error(volume, project.truth) < 0.7 * error(raw, project.truth)


def test_the_mrc_headers_say_what_a_map_is(project, succeed):
    answered = succeed(project.call())
    for suffix, label in (
        ("", "non-uniform REGULARISED reference, not for FSC"),
        ("_cutoff", "local resolution cutoff in Angstrom"),
    ):
        path = answered.result.with_name(f"{answered.result.stem}{suffix}.mrc")
        assert mrcfile.validate(path)
        with mrcfile.open(path) as mrc:
            assert mrc.get_labels()[-1] == f"relion-external {__version__}: {label}"
            assert mrc.voxel_size.tolist() == (4, 4, 4)


def test_no_cutoff_is_finer_than_the_end_of_the_map(project, succeed):
    """Shell 6 less 3, of 64 Å."""
    cutoff = succeed(project.call(), "--trailing_distance", 3).map("_cutoff")
    (entry,) = project.history()
    inside = cutoff[cutoff > 0]
    assert inside.min() == pytest.approx(64 / 3)
    assert entry["trailing_angstrom"] == pytest.approx(64 / 3, abs=1e-3)
    found = [entry[f"cutoff_{which}_angstrom"] for which in ("5th_percentile", "median")]
    assert found == pytest.approx(np.percentile(inside, (5, 50)), abs=1e-3)


def test_the_cutoff_map_is_in_angstrom_within_the_particle(project, succeed):
    cutoff = succeed(project.call()).map("_cutoff")
    distance = np.sqrt(((np.indices((16, 16, 16)) - 8.0) ** 2).sum(axis=0))
    assert (cutoff[distance > 10.1] == 0).all()  # 5 voxels of radius and as many of soft edge
    inside = cutoff[distance <= 5]
    assert set(inside) <= set((16 * 4 / np.linspace(1.6, 7, 50)).astype(np.float32))
    assert len(np.unique(inside)) > 5


def test_nothing_else_is_written(project, succeed):
    star = project.call()
    before = set(project.folder.iterdir())
    answered = succeed(star)
    stem = answered.result.stem
    assert {path.name for path in set(project.folder.iterdir()) - before} == {
        f"{stem}.mrc", f"{stem}_cutoff.mrc", f"{stem}.log", "run_external.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize("risk", ["split-noise", "cross-half"])
def test_the_joined_map_is_relions_own_and_the_filtered_one_lies_beside_it(project, succeed, risk):
    star = project.call("run_it003_class001")
    relions = succeed(star, "--method", "uniform").map()
    answered = succeed(star, "--risk", risk)
    np.testing.assert_array_equal(answered.map(), relions)
    filtered = answered.map("_nonuniform")
    assert 0.1 < np.std(filtered - relions) / np.std(relions) < 1
    assert (answered.map("_cutoff") > 0).any()
    assert project.history()[-1]["risk"] == "split-noise"
    labels = {
        "": "Wiener-filtered (uniform) joined map",
        "_nonuniform": "non-uniform REGULARISED map, not for FSC",
    }
    for suffix, label in labels.items():
        with mrcfile.open(project.folder / f"{answered.result.stem}{suffix}.mrc") as mrc:
            assert mrc.get_labels()[-1].endswith(label)


def test_a_classification_is_not_cut_at_an_fsc_it_does_not_have(project, succeed):
    answered = succeed(project.call("run_it003_class001", fsc=NOTHING))
    entry = project.history()[-1]
    assert entry["map"] == "classification"
    assert "trailing_angstrom" not in entry
    assert "trailing" not in answered.stdout
    assert powers(answered.map())[8:].sum() > 0


def test_the_reference_is_cut_where_the_half_maps_cease_to_agree(project, succeed):
    cut = powers(succeed(project.call()).map())  # FSC 0.143 after shell 6, edge of 3 shells
    assert cut[8:].sum() < 1e-9 * cut.sum()
    assert cut[6] > 0
    earlier = powers(succeed(project.call(), "--trailing_distance", 2).map())
    assert earlier[6:].sum() < 1e-9 * cut.sum()
    np.testing.assert_allclose(earlier[:3], cut[:3], rtol=1e-4)


def test_trailing_can_be_switched_off_with_a_warning(project, reconstruct):
    answered = reconstruct(project.call(), "--skip_spectral_trailing")
    assert answered.status == 0
    assert powers(answered.map())[8:].sum() > 0
    assert answered.stderr == (
        "relion-external: warning: spectral trailing is off: the reference may hold detail beyond "
        "what the half-maps agree on, and the resolution may be inflated\n"
    )
    assert project.history()[-1]["fsc_0143_angstrom"] == pytest.approx(16 * 4 / 6, abs=1e-3)


def test_half_maps_without_any_agreement_still_give_a_map(project, succeed):
    star = project.call(fsc=np.array([1.0, 0.1, *[0.0] * 7]))
    answered = succeed(star)
    assert answered.map().any()
    assert project.history()[-1]["fsc_0143_angstrom"] is None
    assert project.history()[-1]["trailing_angstrom"] == 64


@pytest.mark.parametrize("method", ["uniform", "nonuniform"])
@pytest.mark.parametrize("name", ["run_it003_half1_class001", "run_it003_class001"])
def test_sub_tomograms_are_scaled_by_the_box_once_more(project, succeed, name, method):
    """Scaled, but otherwise filtered alike: the noise is scaled with the map."""
    star = project.call(name, fsc=project.fsc if "half" in name else NOTHING)
    images = succeed(star, "--method", method)
    image_maps = [images.map(), *([images.map("_cutoff")] if method == "nonuniform" else [])]
    model = "half1_model" if "half" in name else "model"
    (project.folder / "run_it002_half1_model.star").unlink()
    project.previous_iteration(dimension=3, model=model)
    subtomograms = succeed(star, "--method", method)
    np.testing.assert_allclose(subtomograms.map(), 16 * image_maps[0], rtol=0, atol=1e-4)
    assert "data dimension 3" in subtomograms.log
    if method == "nonuniform":
        assert (subtomograms.map("_cutoff") == image_maps[1]).mean() > 0.999


def test_the_noise_of_the_joined_map_is_less_than_that_of_its_halves(project, succeed):
    """The joined map is filtered as a half-map would be whose FSC is 2 F / (1 + F)."""
    joined = succeed(project.call("run_it003_class001")).map("_cutoff")
    fsc = 2 * project.fsc / (1 + project.fsc)
    np.testing.assert_array_equal(joined, succeed(project.call(fsc=fsc)).map("_cutoff"))
    assert (joined != succeed(project.call()).map("_cutoff")).mean() > 0.1


@pytest.mark.parametrize("dimension", [2, 3])
def test_noise_that_a_zero_mask_hides_from_the_weights_is_counted(project, succeed, dimension):
    """Weights that are too large by a factor are the same as weights divided by that factor."""
    offsets = np.indices((16,) * dimension) - 8.0
    distance = np.sqrt((offsets**2).sum(axis=0))
    mask = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 5) / 5, 0, 1))
    star = project.call("run_it003_class001", fsc=NOTHING)
    zero_mask = "_rlnParticleDiameter 40\n_rlnDoZeroMask 1\n_rlnWidthMaskEdge 5\n"
    for path in project.folder.glob("*_model.star"):
        path.unlink()
    project.previous_iteration(model="model", optimiser=zero_mask, dimension=dimension)
    masked = succeed(star).map("_cutoff")
    project.previous_iteration(model="model", dimension=dimension)
    unmasked = succeed(star).map("_cutoff")
    for part in ("data_real", "data_imag", "weight"):
        with mrcfile.mmap(star.with_name(f"{star.stem}_{part}.mrc"), mode="r+") as mrc:
            mrc.data[:] *= (mask**2).mean()
    np.testing.assert_allclose(succeed(star).map("_cutoff"), masked, rtol=1e-3)
    assert (masked > unmasked).sum() > (masked < unmasked).sum()


CORRECTED = (
    "_rlnParticleDiameter 40\n_rlnDoSolventFscCorrection 1\n_rlnSolventMaskName solvent.mrc\n"
)


def cube(project, name: str) -> Path:
    mask = np.zeros((16, 16, 16), dtype=np.float32)
    mask[5:11, 5:11, 5:11] = 1
    mrcfile.write(name, mask, voxel_size=4, overwrite=True)
    return Path(name)


@pytest.fixture
def regions(monkeypatch) -> list:
    """Where the noise was measured in each call."""
    seen, real = [], noise.from_fsc

    def spy(half_map, region, fsc):
        seen.append(region)
        return real(half_map, region, fsc)

    monkeypatch.setattr(noise, "from_fsc", spy)
    return seen


@pytest.mark.parametrize("options", [(), ("--mask", "user.mrc")])
def test_noise_is_measured_in_the_sphere_whose_fsc_relion_gives(project, succeed, regions, options):
    cube(project, "user.mrc")
    succeed(project.call(), *options)
    np.testing.assert_array_equal(regions[0], particle_sphere(16, 40, 4))


@pytest.mark.parametrize("name", ["run_it003_half1_class001", "run_it003_class001"])
def test_noise_is_measured_in_the_solvent_mask_if_the_fsc_is_of_that(
    project, succeed, regions, name
):
    star = project.call(name)
    for path in project.folder.glob("run_it002*"):
        path.unlink()
    model = "half1_model" if "half" in name else "model"
    project.previous_iteration(optimiser=CORRECTED, model=model)
    cube(project, "solvent.mrc")
    succeed(star)
    np.testing.assert_array_equal(regions[0], mrcfile.read("solvent.mrc"))


def test_a_correction_without_a_mask_is_none(project, succeed, regions):
    star = project.call()
    project.previous_iteration(optimiser=CORRECTED.replace("solvent.mrc", "None"))
    succeed(star)
    np.testing.assert_array_equal(regions[0], particle_sphere(16, 40, 4))


def test_the_local_filter_stays_within_relions_solvent_mask(project, succeed):
    """By which RELION multiplies the answer in any case."""
    star = project.call()
    path = cube(project, "solvent.mrc")
    asked = succeed(star, "--mask", path).map()
    project.previous_iteration(optimiser=CORRECTED.replace("Correction 1", "Correction 0"))
    answered = succeed(star)
    np.testing.assert_array_equal(answered.map(), asked)
    assert "support: solvent.mrc" in answered.log
    assert not answered.map("_cutoff")[mrcfile.read(path) == 0].any()
    assert "support: the particle's sphere" in succeed(star, "--method", "denoiser").log


def test_without_the_solvent_mask_there_is_no_guess(project, reconstruct):
    star = project.call()
    project.previous_iteration(optimiser=CORRECTED)
    answered = reconstruct(star)
    assert answered.status == 1
    assert "solvent.mrc does not exist" in answered.stderr


def test_bodies_with_a_corrected_fsc_have_their_noise_from_the_weights(project, succeed, regions):
    star = project.call("run_it003_half1_body001")
    project.previous_iteration(optimiser=CORRECTED)
    succeed(star)
    assert regions == []


def test_a_mask_edge_of_no_width_is_no_division_by_zero(project, succeed):
    """RELION's --maskedge 0 with --zero_mask: the noise that it hides has to be a number."""
    star = project.call("run_it003_class001", fsc=NOTHING)
    zero_mask = "_rlnParticleDiameter 40\n_rlnDoZeroMask 1\n_rlnWidthMaskEdge {}\n"
    cutoffs = []
    for edge in (0, 0.01):
        project.previous_iteration(model="model", optimiser=zero_mask.format(edge))
        cutoffs.append(succeed(star).map("_cutoff"))
    np.testing.assert_allclose(*cutoffs, rtol=1e-3)


def test_a_partner_that_is_not_finite_is_refused(project, reconstruct):
    star = project.call()
    path = project.write("run_it003_half2_class001_unfil.mrc", np.zeros((16, 16, 16)))
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    answered = reconstruct(star, "--risk", "cross-half")
    assert answered.status == 1
    assert "run_it003_half2_class001_unfil.mrc holds" in answered.stderr


def test_arrays_that_cannot_be_removed_do_not_undo_the_answer(project, reconstruct, monkeypatch):
    star, real = project.call(), Path.unlink

    def refuse(path, missing_ok=False):
        if path.name.endswith("_weight.mrc"):
            raise PermissionError(13, "Permission denied")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    answered = reconstruct(star, "--clean")
    assert answered.status == 0
    assert "weight.mrc cannot be removed: Permission denied" in answered.stderr
    assert answered.map().any()


def test_a_mask_of_other_voxels_is_warned_about(project, reconstruct):
    path = project.write("mask.mrc", particle_sphere(16, 40, 4))
    assert reconstruct(project.call(), "--mask", path).stderr == ""
    warned = reconstruct(project.call(voxel_size=4.5), "--mask", path)
    assert warned.status == 0
    assert "mask.mrc has voxels of 4 Å, the map to be masked of 4.5 Å" in warned.stderr


def test_a_mask_takes_the_place_of_the_sphere(project, succeed):
    mask = np.zeros((16, 16, 16))
    mask[4:12, 4:12, 6:14] = 1
    path = project.write("mask.mrc", mask)
    star = project.call(particle_diameter=None)
    cutoff = succeed(star, "--mask", path).map("_cutoff")
    np.testing.assert_array_equal(cutoff > 0, mask > 0)


@pytest.mark.parametrize("option", ["voxel size", "diameter"])
def test_relion_3_1_is_served_from_the_previous_iteration_or_the_options(project, succeed, option):
    complete = succeed(project.call()).map("_cutoff")
    star = project.call(voxel_size=None, particle_diameter=None)
    np.testing.assert_array_equal(succeed(star).map("_cutoff"), complete)
    if option == "voxel size":
        doubled = succeed(star, "--angpix", 8)
        assert mrcfile.open(doubled.result).voxel_size.x == 8
        assert 1.5 < doubled.map("_cutoff").max() / complete.max() < 2.5
    else:
        smaller = succeed(star, "--particle_diameter", 16).map("_cutoff")
        assert (smaller > 0).sum() < 0.7 * (complete > 0).sum()


@pytest.mark.parametrize(
    "options", [("--awf", 1), ("--order", 2), ("--levels", 4), ("--risk", "cross-half")]
)
def test_the_options_of_the_search_reach_it(project, succeed, options):
    project.call("run_it003_half2_class001", seed=2)
    star = project.call()
    default = succeed(star).map()
    assert np.std(succeed(star, *options).map() - default) > 1e-3


def test_transforms_run_on_the_threads_asked_for(project, succeed, monkeypatch):
    real, seen = hook.regularize, []

    def spy(*arguments):
        seen.append(scipy.fft.get_workers())
        return real(*arguments)

    monkeypatch.setattr(hook, "regularize", spy)
    answered = succeed(project.call(), "--j", 3)
    assert seen == [3]
    assert "device: CPU (asked for), 3 thread(s)" in answered.log


def test_stale_outputs_are_removed_before_work_starts(project, reconstruct):
    """RELION would obey an old result STAR file, and take an old map for the answer."""
    star = project.call()
    stem = star.stem
    stale = [f"{stem}.mrc", f"{stem}_out.star", f"{stem}_cutoff.mrc", f"{stem}_nonuniform.mrc"]
    for name in (*stale, f"{stem}.mrc.tmp"):
        (project.folder / name).write_text("stale")
    (project.folder / f"{stem}_weight.mrc").unlink()
    assert reconstruct(star).status == 1
    assert not any((project.folder / name).exists() for name in stale)
    assert not (project.folder / f"{stem}.mrc.tmp").exists()


def test_clean_removes_the_arrays_of_this_call_after_success(project, succeed):
    star, other = project.call(), project.call("run_it003_half2_class001", seed=2)
    answered = succeed(star, "--clean")
    assert list(project.folder.glob("*half1*_data_*.mrc")) == []
    assert list(project.folder.glob("*half1*_weight.mrc")) == []
    assert star.exists()
    assert len(list(project.folder.glob("*half2*.mrc"))) == 3
    assert answered.log.count("removed Refine3D") == 3
    succeed(other)


def test_clean_removes_nothing_after_a_failure(project, reconstruct):
    star = project.call()
    assert reconstruct(star, "--clean", "--mask", "missing.mrc").status == 1
    assert len(list(project.folder.glob("*half1*.mrc"))) == 3


def test_clean_leaves_what_the_other_half_needs(project, reconstruct):
    star = project.call()
    project.call("run_it003_half2_class001", seed=2)
    answered = reconstruct(star, "--clean", "--risk", "cross-half")
    assert answered.status == 0
    assert answered.stderr == (
        "relion-external: warning: --clean does nothing with --risk cross-half: the other half "
        "needs the arrays\n"
    )
    assert len(list(project.folder.glob("*half1*_data_*.mrc"))) == 2


def test_relion_starts_the_program_through_a_shell(project):
    """As RELION does: the variable, a blank and the STAR file go to /bin/sh."""
    star = project.call()
    command = hook_variable.command(["--gpu", "cpu", "--levels", "3", "--j", "1"])
    environment = hook_variable.environment(command)
    done = ask(f"${hook_variable.NAME} {star}", 60, environment)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith(" relion-external: iteration 3 half 1 class 1")
    star.with_name(f"{star.stem}_weight.mrc").unlink()
    done = ask(f"${hook_variable.NAME} {star}", 60, environment)
    assert (done.status, done.stdout) == (1, "")
    assert re.fullmatch(r"relion-external: error: .*_weight.mrc does not exist .*\n", done.stderr)
    assert not star.with_suffix(".mrc").exists()


# ---- what is said -------------------------------------------------------------------------------


def test_one_line_on_stdout(project, succeed):
    assert re.fullmatch(
        r" relion-external: iteration 3 half 1 class 1, nonuniform \(split-noise\) on CPU, "
        r"local cutoff median \d+\.\d Å \(5th to 95th percentile \d+\.\d to \d+\.\d Å\), "
        r"trailing at 10\.7 Å, \d+\.\d s\n",
        succeed(project.call()).stdout,
    )
    assert re.fullmatch(
        r" relion-external: iteration 3 half 1 class 1, uniform on CPU, \d+\.\d s\n",
        succeed(project.call(), "--method", "uniform").stdout,
    )


def test_a_line_in_the_history_for_every_call(project, succeed):
    succeed(project.call())
    succeed(project.call("run_it003_half2_class001", seed=2), "--method", "uniform")
    first, second = project.history()
    assert first["version"] == __version__
    assert (first["iteration"], first["half"], first["class"]) == (3, 1, 1)
    assert (first["map"], first["method"], first["risk"]) == (
        "half-set",
        "nonuniform",
        "split-noise",
    )
    assert first["levels"] == 50
    finest, median, coarsest = (
        first[f"cutoff_{which}_angstrom"]
        for which in ("5th_percentile", "median", "95th_percentile")
    )
    assert 16 * 4 / 7 - 1e-3 <= finest <= median <= coarsest <= 40
    assert first["trailing_angstrom"] == first["fsc_0143_angstrom"]
    assert first["device"] == "CPU"
    assert first["seconds"] >= sum(first["stages"].values()) - 0.01
    assert set(first["stages"]) == {"reconstruction", "regularisation", "trailing", "writing"}
    assert first["peak_memory_bytes"] > 1e7
    assert (second["half"], second["method"]) == (2, "uniform")


def test_a_body_is_called_so_in_the_history(project, succeed):
    succeed(project.call("run_it003_half1_body002"))
    entry = project.history()[0]
    assert entry["body"] == 2
    assert "class" not in entry


def test_the_log_tells_what_was_done(project, succeed):
    log = succeed(project.call(), "--awf", 2).log
    assert f"relion-external {__version__}, Python 3." in log
    assert "run_it003_half1_class001_external_reconstruct.star: iteration 3 half 1 class 1" in log
    assert "box 16, padding 2, measured up to shell 7, T 1, data dimension 2" in log
    assert " awf=2.0 " in log
    assert "device: CPU (asked for), 1 thread(s)" in log
    assert re.search(r"memory: about \d+\.\d\d GB needed on the CPU", log)
    assert "trailing_angstrom: 10.667" in log


def test_the_log_is_of_the_last_attempt_only(project, reconstruct):
    star = project.call()
    assert " ERROR " in reconstruct(star, "--mask", "missing.mrc").log
    assert " ERROR " not in reconstruct(star).log


@pytest.mark.parametrize("name", ["run_it003_half1_class001", "run_it003_half2_class001"])
def test_auto_tells_which_device_and_why(project, succeed, monkeypatch, name):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    assert "device: CPU (CuPy is not installed)" in succeed(project.call(name), "--gpu", "auto").log


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("run_it003_half1_class001", "4"),
        ("run_it003_half2_class001", "7"),
        ("run_it003_class001", "4"),
        ("run_it003_class002", "7"),
        ("run_it003_class003", "4"),
    ],
)
def test_gpus_are_dealt_out_to_halves_and_classes(project, succeed, monkeypatch, name, gpu):
    monkeypatch.setattr(
        devices, "select_device", lambda request: Device(f"GPU {request}", "made up")
    )
    succeed(project.call(name, fsc=NOTHING), "--gpu", "4,7")
    assert project.history()[0]["device"] == f"GPU {gpu}"


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("options", [(), ("--risk", "cross-half"), ("--method", "uniform")])
@pytest.mark.parametrize("name", ["run_it003_half1_class001", "run_it003_class001"])
def test_a_call_on_a_gpu_gives_what_the_cpu_gives(project, succeed, name, options):
    """By a stand-in for the GPU: no array stays on the wrong side."""
    project.call("run_it003_half2_class001", seed=2)
    star = project.call(name)
    expected = succeed(star, *options).map()
    answered = succeed(star, *options, "--gpu", "1")
    np.testing.assert_allclose(answered.map(), expected, rtol=0, atol=1e-5)
    assert "device: GPU 1, stand-in (asked for)" in answered.log
    assert re.search(r"memory: about \d+\.\d\d GB needed on the GPU 1", answered.log)
    assert project.history()[-1]["device"] == "GPU 1"


@pytest.mark.usefixtures("device")
def test_half_sets_go_to_different_gpus(project, succeed):
    for half in (1, 2):
        star = project.call(f"run_it003_half{half}_class001", seed=half)
        assert f"device: GPU {half - 1}, stand-in" in succeed(star, "--gpu", "0,1").log


def test_a_missing_previous_iteration_is_warned_of(project, reconstruct):
    (project.folder / "run_it002_optimiser.star").unlink()
    answered = reconstruct(project.call())
    assert answered.status == 0
    assert answered.stderr == (
        "relion-external: warning: Refine3D/job001/run_it002_optimiser.star is missing: gradient "
        "refinement and sub-tomograms cannot be recognised\n"
    )
