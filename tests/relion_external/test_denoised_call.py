"""Calls of the hook answered by the denoiser, through real files, with small random networks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising import blush
from plugin_core.denoising.network import DenoisingNetwork
from plugin_core.denoising.tensors import NetworkDevice
from plugin_core.masks import particle_sphere
from plugin_core.padded_grid import PaddedGrid
from relion_external import blush_compatible, denoised_call, denoiser_setup, network_weights

NOTHING = np.zeros(9)  # the FSC of a classification
DENOISER = ("--method", "denoiser")


def save_network(path: Path, *, finds_noise: bool) -> Path:
    """Write a checkpoint of a network with random weights, or of one that changes nothing."""
    torch.manual_seed(5)
    state = DenoisingNetwork(1).state_dict()
    for name in ("outc.weight", "outc.bias"):
        state[name] *= 3 if finds_noise else 0
    torch.save({"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, path)
    return path


@pytest.fixture(autouse=True)
def weights(project, tmp_path, monkeypatch) -> Path:
    """Weights that the environment variable names, of a network that changes a map."""
    project.previous_iteration()
    path = save_network(tmp_path / "weights.pt", finds_noise=True)
    monkeypatch.setenv(network_weights.VARIABLE, str(path))
    return path


@pytest.fixture
def given(monkeypatch) -> list:
    """What the denoiser was given in each call."""
    seen, real = [], denoised_call.regularize

    def spy(inputs, parameters):
        seen.append((inputs, parameters, torch.get_num_threads()))
        return real(inputs, parameters)

    monkeypatch.setattr(denoised_call, "regularize", spy)
    return seen


def powers(volume: np.ndarray) -> np.ndarray:
    """Power in each shell up to the corners, summed."""
    axis = np.fft.fftfreq(volume.shape[0], 1 / volume.shape[0])
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    shell = np.floor(radius + 0.5).astype(int)
    return np.bincount(shell.ravel(), weights=(np.abs(np.fft.fftn(volume)) ** 2).ravel())


# ---- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fsc"),
    [
        ("run_it003_half1_class001", True),
        ("run_it003_half2_class001", True),
        ("run_it003_class002", False),
        ("run_it003_half1_body001", True),
    ],
)
def test_every_kind_of_call_is_answered(project, succeed, name, fsc):
    star = project.call(name, fsc=project.fsc if fsc else NOTHING)
    before = set(project.folder.iterdir())
    answered = succeed(star, *DENOISER)
    stem = answered.result.stem
    assert {path.name for path in set(project.folder.iterdir()) - before} == {
        f"{stem}.mrc", f"{stem}.log", "run_external.jsonl",
    }  # fmt: skip
    volume = answered.map()
    assert (volume.shape, volume.dtype) == ((16, 16, 16), np.float32)
    plain = succeed(star, "--method", "uniform").map()
    assert np.std(volume - plain) > 0.05 * np.std(plain)


def test_the_header_says_that_the_map_is_denoised(project, succeed):
    with mrcfile.open(succeed(project.call(), *DENOISER).result) as mrc:
        assert mrc.get_labels()[-1].endswith("DENOISED reference, not for FSC")
        assert mrc.voxel_size.x == 4


def test_a_refinement_gives_the_raw_map_to_the_network(project, succeed, given):
    star = project.call()
    raw = succeed(star, "--method", "uniform", "--minres_map", 999).map()
    succeed(star, *DENOISER)
    ((inputs, _, _),) = given
    np.testing.assert_array_equal(inputs.half_map, raw)
    np.testing.assert_array_equal(inputs.support, particle_sphere(16, 40, 4))
    assert inputs.partner is None
    assert inputs.voxel_size == 4


def test_a_classification_gives_the_wiener_filtered_map_to_the_network(project, succeed, given):
    star = project.call("run_it003_class001", fsc=NOTHING)
    filtered = succeed(star, "--method", "uniform").map()
    succeed(star, *DENOISER)
    ((inputs, _, _),) = given
    np.testing.assert_array_equal(inputs.half_map, filtered)


def test_the_joined_map_is_relions_own_and_the_denoised_one_lies_beside_it(project, succeed, given):
    star = project.call("run_it003_class001")
    relions = succeed(star, "--method", "uniform").map()
    answered = succeed(star, *DENOISER)
    np.testing.assert_array_equal(answered.map(), relions)
    denoised = answered.map("_denoised")
    assert np.std(denoised - relions) > 0.05 * np.std(relions)
    for suffix, label in (
        ("", "Wiener-filtered (uniform) joined map"),
        ("_denoised", "DENOISED map, not for FSC"),
    ):
        with mrcfile.open(project.folder / f"{answered.result.stem}{suffix}.mrc") as mrc:
            assert mrc.get_labels()[-1].endswith(label)
    raw = succeed(star, "--method", "uniform", "--minres_map", 999).map()
    np.testing.assert_array_equal(given[0][0].half_map, raw)


def test_a_mask_takes_the_place_of_the_sphere(project, succeed, given):
    mask = np.zeros((16, 16, 16))
    mask[4:12, 4:12, 6:14] = 1
    path = project.write("mask.mrc", mask)
    succeed(project.call(particle_diameter=None), *DENOISER, "--mask", path)
    np.testing.assert_array_equal(given[0][0].support, mask)


def test_stale_outputs_are_removed_before_work_starts(project, reconstruct):
    star = project.call("run_it003_class001")
    for suffix in ("", "_denoised"):
        (project.folder / f"{star.stem}{suffix}.mrc").write_text("stale")
    assert reconstruct(star, *DENOISER, "--weights", "missing.pt").status == 1
    assert list(project.folder.glob("*_reconstruct.mrc")) == []
    assert list(project.folder.glob("*_denoised.mrc")) == []


# ---- where the evidence ends --------------------------------------------------------------------


def test_the_reference_is_cut_two_shells_before_the_half_maps_cease_to_agree(project, succeed):
    star = project.call()  # FSC 0.143 after shell 6, edge of 3 shells
    cut = powers(succeed(star, *DENOISER).map())
    assert cut[6:].sum() < 1e-9 * cut.sum()
    assert cut[4] > 0
    assert project.history()[-1]["trailing_angstrom"] == 16
    later = powers(succeed(star, *DENOISER, "--trailing_distance", 0).map())
    assert later[8:].sum() < 1e-9 * cut.sum()
    assert later[6] > 1e-6 * cut.sum()


def test_trailing_can_be_switched_off_but_nothing_unmeasured_enters(project, reconstruct):
    answered = reconstruct(project.call(), *DENOISER, "--skip_spectral_trailing")
    assert answered.status == 0
    assert "spectral trailing is off" in answered.stderr
    power = powers(answered.map())
    assert power[7] > 1e-6 * power.sum()
    assert power[8:].sum() < 1e-9 * power.sum()  # RELION measured up to shell 7


def test_where_the_half_maps_agree_the_answer_is_the_half_map(project, succeed, reconstruct):
    """Whatever the network makes of it: agreement up to shell 5, none from shell 6 on."""
    star = project.call(fsc=np.array([1, 1, 1, *[0.99998] * 3, 0, 0, 0.0]))
    raw = succeed(star, "--method", "uniform", "--minres_map", 999).map()
    found = reconstruct(star, *DENOISER, "--skip_spectral_trailing").map()
    masked = raw * particle_sphere(16, 40, 4)
    difference, power = powers(found - masked), powers(masked)
    assert difference[:4].sum() < 1e-5 * power.sum()
    assert difference[6:8].sum() > 0.01 * power[6:8].sum()
    entry = project.history()[-1]
    assert entry["half_map_to_angstrom"] == pytest.approx(16 * 4 / 5, abs=1e-3)


def test_a_classification_is_not_cut_at_an_fsc_it_does_not_have(project, succeed):
    answered = succeed(project.call("run_it003_class001", fsc=NOTHING), *DENOISER)
    assert "trailing_angstrom" not in project.history()[-1]
    power = powers(answered.map())
    assert power[7] > 1e-6 * power.sum()
    assert power[8:].sum() < 1e-9 * power.sum()


@pytest.fixture
def fine_call(project, tmp_path, monkeypatch):
    """Write a call of 1 Å voxels, finer than the network's, which finds no noise."""
    path = save_network(tmp_path / "identity.pt", finds_noise=False)
    monkeypatch.setenv(network_weights.VARIABLE, str(path))
    grid = PaddedGrid(box=32, padding=1, max_shell=15)

    def call(name: str, fsc: np.ndarray) -> Path:
        return project.call(name, grid=grid, fsc=fsc, voxel_size=1.0, particle_diameter=20.0)

    return call


def filtered(volume: np.ndarray, gain) -> np.ndarray:
    box = volume.shape[0]
    axis = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return np.fft.ifftn(np.fft.fftn(volume.astype(np.float64)) * gain(radius)).real


def low_pass(shell: float):
    """1 up to 1.5 shells before, 0 from 1.5 shells after, half a cosine between."""
    return lambda r: 0.5 + 0.5 * np.cos(np.pi * np.clip((r - shell) / 3 + 0.5, 0, 1))


def test_beyond_the_networks_nyquist_a_refinement_is_the_wiener_filtered_map(
    project, succeed, fine_call
):
    """32 Å in voxels of about 1.5 Å are 22, so shell 11; half and half at shell 9."""
    star = fine_call("run_it003_half1_class001", np.where(np.arange(17) <= 14, 0.9, 0))
    mask = particle_sphere(32, 20, 1)
    raw = succeed(star, "--method", "uniform", "--minres_map", 999).map()
    wiener = succeed(star, "--method", "uniform").map()
    answered = succeed(star, *DENOISER)
    inside = np.abs(np.fft.fftfreq(32, 1 / 32)) < 11  # what the network's grid holds
    held = np.fft.fftn(raw) * (inside[:, None, None] & inside[:, None] & inside)
    share = 0.03 * 0.9 / (0.03 * 0.9 + 0.1)  # of the raw map, at this FSC
    mean = share * raw + (1 - share) * np.fft.ifftn(held).real
    expected = filtered(mean * mask, low_pass(9))
    beyond = filtered(wiener * mask, lambda r: (1 - low_pass(9)(r)) * low_pass(14)(r))
    assert np.std(answered.map() - expected - beyond) < 1e-4 * np.std(expected)
    assert np.std(beyond) > 50 * 1e-4 * np.std(expected)
    assert project.history()[-1]["wiener_beyond_angstrom"] == pytest.approx(32 / 11, abs=1e-3)


def test_with_evidence_well_below_the_networks_nyquist_no_other_map_is_wanted(
    project, succeed, fine_call
):
    succeed(fine_call("run_it003_half1_class001", np.where(np.arange(17) <= 7, 0.9, 0)), *DENOISER)
    assert "wiener_beyond_angstrom" not in project.history()[-1]


def test_a_classification_that_is_not_changed_is_the_wiener_filtered_map(
    project, succeed, fine_call
):
    star = fine_call("run_it003_class001", np.zeros(17))
    wiener = succeed(star, "--method", "uniform").map() * particle_sphere(32, 20, 1)
    expected = filtered(wiener, lambda r: r < 15.5)
    found = succeed(star, *DENOISER).map()
    assert np.std(found - expected) < 2e-3 * np.std(expected)


# ---- half-sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--blush_compatible",)])
@pytest.mark.parametrize("replace", ["noise", "garbage", "nothing"])
def test_replacing_the_other_half_changes_no_bit(project, succeed, replace, options):
    other = "run_it003_half2_class001"
    project.previous_iteration(model="half2_model")
    project.call(other, seed=2)
    star = project.call("run_it003_half1_class001")
    before = succeed(star, *DENOISER, *options).map()
    if replace == "noise":
        project.call(other, seed=99)
        project.write(f"{other}_unfil.mrc", np.random.default_rng(5).standard_normal((16, 16, 16)))
    for path in project.folder.glob("*half2*"):
        if replace == "garbage":
            path.write_bytes(b"garbage")
        elif replace == "nothing":
            path.unlink()
    np.testing.assert_array_equal(succeed(star, *DENOISER, *options).map(), before)


# ---- options ------------------------------------------------------------------------------------


def test_options_reach_the_network(project, succeed, given):
    star = project.call()
    exact = succeed(star, *DENOISER, "--j", 1).map()
    rough = succeed(star, *DENOISER, "--stride", 20, "--precision", "bfloat16", "--j", 2).map()
    applications = [parameters.application for _, parameters, _ in given]
    assert [(a.stride, a.precision, a.published) for a in applications] == [
        (32, "float32", False),
        (20, "bfloat16", False),
    ]
    assert 0 < np.std(rough - exact) < 0.02 * np.std(exact)
    assert all(a.free_bytes > 1e6 for a in applications)


def test_pytorch_uses_the_threads_asked_for(project, succeed, monkeypatch):
    threads, real = [], DenoisingNetwork.denoise

    def spy(*arguments):
        threads.append(torch.get_num_threads())
        return real(*arguments)

    monkeypatch.setattr(DenoisingNetwork, "denoise", spy)
    for asked in (1, 2):
        succeed(project.call(), *DENOISER, "--j", asked)
    assert threads == [1, 2]


def test_the_same_call_is_answered_with_the_same_bits(project, succeed):
    star = project.call()
    np.testing.assert_array_equal(succeed(star, *DENOISER).map(), succeed(star, *DENOISER).map())


def test_clean_removes_the_arrays(project, succeed):
    succeed(project.call(), *DENOISER, "--clean")
    assert list(project.folder.glob("*_data_*.mrc")) == []


# ---- what is said -------------------------------------------------------------------------------


def test_log_history_and_run_out_name_the_weights(project, succeed, weights):
    answered = succeed(project.call(), *DENOISER)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"weights: {weights} (RELION_EXTERNAL_WEIGHTS), SHA-256 {digest}" in answered.log
    assert f"network: width 1, PyTorch {torch.__version__}" in answered.log
    assert "network runs on: CPU (asked for)" in answered.log
    assert re.search(r"memory: about \d+\.\d\d GB needed on the CPU", answered.log)
    entry = project.history()[-1]
    assert (entry["method"], entry["weights"]) == ("denoiser", "weights.pt")
    assert entry["weights_sha256"] == digest
    assert (entry["precision"], entry["stride"], entry["blocks"]) == ("float32", 32, 1)
    assert set(entry["stages"]) == {"reconstruction", "regularisation", "trailing", "writing"}
    assert re.fullmatch(
        r" relion-external: iteration 3 half 1 class 1, denoiser \(weights\.pt\) on CPU, "
        r"trailing at 16\.0 Å, \d+\.\d s\n",
        answered.stdout,
    )


# ---- bad input ----------------------------------------------------------------------------------


@pytest.fixture
def refusal(project, reconstruct):
    """Run a call that must fail in one sentence and leave no result; return the sentence."""

    def run(*options: object) -> str:
        star = project.call()
        answered = reconstruct(star, *DENOISER, *options)
        assert answered.status == 1
        assert not answered.result.exists()
        assert answered.stderr.count("\n") == 1
        return answered.stderr

    return run


def test_missing_weights_are_told(refusal, monkeypatch, tmp_path):
    monkeypatch.delenv(network_weights.VARIABLE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setattr(network_weights, "SHIPPED", tmp_path / "nowhere.pt")
    assert "no weights for the denoiser: --weights is not given" in refusal()
    assert "--weights names gone.pt, which is not a file" in refusal("--weights", "gone.pt")


def test_damaged_weights_are_told(refusal, weights):
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be read as a PyTorch checkpoint" in refusal()


def test_missing_pytorch_is_told(refusal, monkeypatch):
    monkeypatch.setattr(network_weights, "find_spec", lambda name: None)
    assert "the denoiser needs PyTorch" in refusal()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--stride", 45), "--stride 45: the stride must be from 1 to 44 voxels"),
        (("--precision", "float16"), "--precision float16 takes a GPU"),
        (("--gpu", "0"), "--gpu 0 was asked for, but there is no such GPU"),
        (("--blush_compatible", "--gridding"), "--gridding cannot be given with --blush_comp"),
        (("--blush_compatible", "--mask", "m.mrc"), "--mask cannot be given with --blush_comp"),
    ],
)
def test_options_that_cannot_be_had_are_told(refusal, options, told, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert told in refusal(*options)


def test_a_gpu_whose_memory_the_network_does_not_fit_is_refused(refusal, monkeypatch):
    full = NetworkDevice(torch.device("cpu"), "GPU 0", "made up")
    monkeypatch.setattr(denoiser_setup, "select_network_device", lambda *_: full)
    monkeypatch.setattr(NetworkDevice, "free_bytes", lambda self: 1_000_000)
    assert re.search(
        r"GPU 0 has too little memory for box 16: about 0\.\d GB needed, 0\.0 GB free; --gpu 0,1 "
        r"gives each half-set a GPU of its own",
        refusal(),
    )


def test_memory_that_runs_out_underway_is_put_into_words(refusal, monkeypatch):
    def run_out(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(DenoisingNetwork, "denoise", run_out)
    assert "CPU has too little memory for box 16" in refusal()


# ---- as relion-blush does it --------------------------------------------------------------------


@pytest.fixture
def given_as_blush(monkeypatch) -> list:
    """What the denoiser was given in each call with --blush_compatible."""
    seen, real = [], blush_compatible.regularize

    def spy(inputs, parameters):
        seen.append((inputs, parameters))
        return real(inputs, parameters)

    monkeypatch.setattr(blush_compatible, "regularize", spy)
    return seen


@pytest.mark.parametrize(
    ("name", "fsc", "mask"),
    [
        ("run_it003_half1_class001", True, blush.refinement_mask),
        ("run_it003_class001", True, blush.refinement_mask),
        ("run_it003_class001", False, blush.classification_mask),
    ],
)
def test_a_call_as_relion_blush_answers_it(project, succeed, given_as_blush, name, fsc, mask):
    star = project.call(name, fsc=project.fsc if fsc else NOTHING)
    answered = succeed(star, *DENOISER, "--blush_compatible")
    ((inputs, parameters),) = given_as_blush
    application = parameters.application
    assert (application.stride, application.published) == (20, True)
    np.testing.assert_array_equal(inputs.support, mask(16, 40, 4))
    entry = project.history()[-1]
    assert entry["blush_compatible"]
    if fsc:  # below 1/7 from shell 7 on, so cut at 5
        assert entry["trailing_angstrom"] == pytest.approx(64 / 5)
        denoised = answered.map("_denoised" if "half" not in name else "")
        power = powers(denoised)
        assert power[4] > 0
        assert power[7:].sum() < 1e-9 * power.sum()
    else:
        assert "trailing_angstrom" not in entry
    # Not far from the maps of the default: the same data, divided a little differently.
    raw, wiener = (
        succeed(star, "--method", "uniform", "--minres_map", first).map() for first in (999, 0)
    )
    distance = np.sqrt(((np.indices((16, 16, 16)) - 8.0) ** 2).sum(axis=0))
    like = raw if fsc else wiener
    difference = (inputs.half_map - like)[distance < 7]
    assert 0 < np.std(difference) < 0.05 * np.std(like)
    if fsc and "half" not in name:
        difference = (answered.map() - wiener)[distance < 7]
        assert np.std(difference) < 0.05 * np.std(wiener)
