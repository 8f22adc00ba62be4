"""The doctor's report, its figures and its exit status."""

from __future__ import annotations

import configparser
import hashlib
import re
import shlex
import sys
import types
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from plugin_core.backend import Device
from plugin_core.cost import predict_denoiser
from plugin_core.padded_grid import PaddedGrid
from relion_external import doctor_box, hook_variable, network_weights, system
from relion_external.cli import main
from relion_external.commands import doctor
from relion_external.gpu_probe import Gpu, Probe

HOOK = f"{shlex.quote(sys.executable)} -m relion_external reconstruct"


@pytest.fixture(autouse=True)
def hook_set(monkeypatch):
    """The variable names this program, as the user should have set it."""
    monkeypatch.setenv(hook_variable.NAME, HOOK)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(doctor.gpu_probe, "probe", lambda name: Probe(False))  # takes seconds


@pytest.fixture
def cost(monkeypatch):
    """Stand-in for plugin_core.cost.predict, so that the figures to expect are known.

    `asked` holds what it was asked with.
    """
    cost = types.SimpleNamespace(host_bytes=10**6, device_bytes=2 * 10**6, fft_points=1e6)

    def predict(box, padding, **options):
        cost.asked = {"box": box, "padding": padding} | options
        return cost

    monkeypatch.setattr(doctor_box.cost, "predict", predict)
    monkeypatch.setattr(doctor_box, "seconds_per_fft_point", lambda device, threads: 5e-6)
    return cost


@pytest.fixture
def hook(monkeypatch):
    """Return a function that gives the hook options."""
    return lambda options: monkeypatch.setenv(hook_variable.NAME, f"{HOOK} {options}")


def test_ready(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(
        "\n\nReady: RELION's --external_reconstruct will run relion-external here.\n"
    )
    assert re.search(
        rf"^  interpreter +{re.escape(sys.executable)} \(3\.\d+\.\d+\)$", printed, re.M
    )
    assert re.search(rf"^  numpy +{re.escape(np.__version__)}$", printed, re.M)
    assert "\x1b" not in printed


def test_the_report_is_aligned_and_no_wider_than_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    main(["doctor"])
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 70 or " " not in line.strip().partition("  ")[2].strip()
        if line.startswith("  "):
            assert re.match(r"  (\S.{16}| {17}) \S", line)


def test_not_ready_without_the_variable(capsys, monkeypatch):
    monkeypatch.delenv(hook_variable.NAME)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith(
        f"\nNot ready: {hook_variable.NAME} is not set, so RELION would not run this program.\n"
        f"To set the hook without options:\n  {hook_variable.suggestion()}\n"
    )


def test_a_package_that_cannot_be_imported_is_a_problem(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["doctor", "--box", "64"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"^  tqdm +cannot be imported: ", printed, re.M)
    assert f"Not ready: {sys.executable} cannot import the package tqdm." in printed


def test_the_packages_are_those_that_setup_cfg_requires():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    required = setup["options"]["install_requires"].split()
    assert tuple(line.partition(">=")[0] for line in required) == doctor.REQUIRED_PACKAGES


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Probe(False), "not installed, so the hook computes on the CPU;"),
        (Probe(True, "13.9"), "13.9, sees no GPU, so the hook computes on the CPU"),
        (
            Probe(True, None, (), "no answer within 60 s"),
            "cannot reach a GPU, so the hook computes on the CPU: no answer within 60 s",
        ),
        (
            Probe(True, "13.9", (Gpu("Card A", 10**10, 2 * 10**10), Gpu("Card B", 0, 10**9))),
            "13.9, GPU 0: Card A, 10.0 GB of 20.0 GB free GPU 1: Card B, 0 MB of 1.0 GB free",
        ),
    ],
)
def test_what_cupy_sees(capsys, monkeypatch, found, line):
    monkeypatch.setattr(
        doctor.gpu_probe, "probe", lambda name: found if name == "cupy" else Probe(False)
    )
    assert main(["doctor"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"CuPy {line}" in printed
    assert "PyTorch not installed" in printed


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of weights that the variable names, of a small network."""
    torch = pytest.importorskip("torch")
    from plugin_core.denoising.network import DenoisingNetwork

    path = tmp_path / "weights.pt"
    state = DenoisingNetwork(3).state_dict()
    torch.save({"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, path)
    monkeypatch.setenv(network_weights.VARIABLE, str(path))
    return path


def test_the_weights_are_told_with_their_hash(capsys, weights):
    assert main(["doctor"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"weights {weights} ({network_weights.VARIABLE}) SHA-256 {digest}" in printed
    assert "channels wide" not in printed


def test_a_hook_with_the_denoiser_has_its_weights_loaded(capsys, weights, monkeypatch):
    monkeypatch.setenv(hook_variable.NAME, f"{HOOK} --method denoiser")
    assert main(["doctor"]) == 0
    assert "  network           3 channels wide" in capsys.readouterr().out
    weights.write_bytes(b"damaged")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Not ready: the hook would fail: {weights} cannot be read as a PyTorch check" in printed


def test_missing_weights_are_a_problem_only_if_the_hook_asks_for_them(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.delenv(network_weights.VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(network_weights, "SHIPPED", tmp_path / "gone.pt")
    assert main(["doctor"]) == 0
    assert "not ready         no weights for the denoiser" in capsys.readouterr().out
    monkeypatch.setenv(hook_variable.NAME, f"{HOOK} --method=denoiser --weights gone.pt")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    told = "Not ready: the hook would fail: --weights names gone.pt, which is not a file."
    assert printed.count(told) == 1


def test_a_gpu_that_is_not_there_is_a_problem(capsys, hook, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    hook("--gpu 0,cpu,1")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    for number in (0, 1):
        assert (
            f"Not ready: the hook would fail: --gpu {number} was asked for, but there is no such "
            "GPU: CuPy is not installed." in printed
        )
    assert printed.count("Not ready: ") == 2
    hook("--gpu auto")
    assert main(["doctor"]) == 0


def test_gpus_that_are_there_are_none(capsys, hook, device):
    hook("--gpu 0,1")
    assert main(["doctor"]) == 0
    hook("--gpu 0,2")
    assert main(["doctor"]) == 1
    assert "2 GPU(s) found, numbered from 0." in " ".join(capsys.readouterr().out.split())


def test_the_denoiser_looks_for_its_gpu_by_pytorch(capsys, hook, weights, device, monkeypatch):
    from plugin_core.denoising import tensors

    monkeypatch.setattr(tensors, "_no_gpu", lambda: "PyTorch sees no GPU")
    hook("--method denoiser --gpu 1")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "the hook would fail: --gpu 1 was asked for, but there is no such GPU: PyTorch" in printed
    )


def test_a_denoiser_that_cannot_work_so_is_a_problem(capsys, hook, weights):
    for options, told in (
        ("--stride 60", "--stride 60: the stride must be from 1 to 44 voxels"),
        ("--precision float16 --gpu cpu", "--precision float16 takes a GPU"),
        ("--blush_compatible --gridding", "--gridding cannot be given with --blush_compatible"),
    ):
        hook(f"--method denoiser {options}")
        assert main(["doctor"]) == 1
        assert f"the hook would fail: {told}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "mask.mrc does not exist"),
        (b"no map", "mask.mrc is not an MRC file"),
        (np.zeros((4, 4, 6), np.float32), "mask.mrc is 6 x 4 x 4 voxels; expected a cube"),
        (np.full((4, 4, 4), 7, np.float32), "values from 7 to 7; expected a mask from 0 to 1"),
        (np.ones((4, 4, 4), np.int8), "mask.mrc holds int8 values, expected 32-bit reals"),
    ],
)
def test_what_is_no_mask_is_a_problem(capsys, hook, tmp_path, content, told):
    path = tmp_path / "mask.mrc"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        mrcfile.write(path, content)
    hook(f"--mask {path}")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"Not ready: the hook would fail: .*{re.escape(told)}", printed)


def test_a_mask_is_held_against_the_box(capsys, hook, tmp_path, cost):
    mrcfile.write(tmp_path / "mask.mrc", np.ones((64, 64, 64), np.float32))
    hook(f"--mask {tmp_path}/mask.mrc")
    assert main(["doctor"]) == 0
    assert main(["doctor", "--box", "64"]) == 0
    assert main(["doctor", "--box", "32"]) == 1
    assert "64 x 64 x 64 values, but the map" in " ".join(capsys.readouterr().out.split())


def test_an_option_of_another_method_in_the_variable_is_a_problem(capsys, monkeypatch):
    monkeypatch.setenv(hook_variable.NAME, f"{HOOK} --stride 20")
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "has a wrong option: --stride is for --method denoiser, and this is nonunif" in printed


def test_relion_missing_is_told_but_no_problem(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor"]) == 0
    assert re.search(r"^  relion_refine_mpi +not on the PATH$", capsys.readouterr().out, re.M)


@pytest.mark.relion
def test_relion_is_found_with_its_version(capsys):
    main(["doctor"])
    pattern = r"^  relion_refine +/.*/relion_refine \(version [3-9]\.\d.*\)$"
    assert re.search(pattern, capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("box", "padding", "shape"),
    [(64, 2, (128, 128, 65)), (64, 1, (64, 64, 33)), (50, 1.5, (75, 75, 38))],
)
def test_bytes_of_relions_arrays(box, padding, shape):
    arrays = [np.empty(shape, np.float32) for _ in ("real", "imaginary", "weight")]
    assert doctor_box.relion_arrays_bytes(box, padding) == sum(array.nbytes for array in arrays)


def test_box(capsys, cost):
    assert main(["doctor", "--box", "400"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    # 3 arrays of 800 × 800 × 401 float32: 3.08 GB
    assert "3.1 GB on disk for each half-map, 6.2 GB for both" in printed
    assert "CPU memory 1 MB for one call, 2 MB for the two that RELION starts at once" in printed
    assert "about 5.0 s for each half-map, by a transform timed just now on the CPU" in printed


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", {"levels": 50, "risk": "split-noise", "gridding": False}),
        ("--risk cross-half", {"levels": 50, "risk": "cross-half", "gridding": False}),
        ("--levels 7 --gridding", {"levels": 7, "risk": "split-noise", "gridding": True}),
        ("--method uniform", {"levels": 50, "risk": None, "gridding": False}),
    ],
)
def test_box_is_for_the_options_of_the_hook(capsys, hook, cost, options, asked):
    hook(options)
    assert main(["doctor", "--box", "64", "--padding", "1"]) == 0
    assert cost.asked == {"box": 64, "padding": 1} | asked


def test_two_calls_on_one_gpu_have_to_fit_there(capsys, hook, cost, device):
    cost.device_bytes = 3e9  # of 4
    hook("--gpu 0,1")
    assert main(["doctor", "--box", "64"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for number in (0, 1):
        assert f"GPU {number} memory 3.0 GB for one call (4.0 GB free)" in printed
    hook("--gpu 0")
    assert main(["doctor", "--box", "64"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "at this box two calls at once of the hook need 6.0 GB of GPU 0 memory" in printed


def test_gridding_takes_host_memory_beside_the_gpus(capsys, hook, cost, device):
    hook("--gpu 0,1 --gridding")
    assert main(["doctor", "--box", "64"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "CPU memory 1 MB for one call, 2 MB for the two" in printed


def test_box_with_the_denoiser(capsys, hook, weights):
    hook("--method denoiser --gpu cpu --j 1")
    assert main(["doctor", "--box", "64"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "3 channels wide; map of 1.5 Å a voxel, the network's own: --angpix tells" in printed
    maps, network = predict_denoiser(PaddedGrid(64, 2, 32), 64, 3, 64)
    both = f"{(maps + network) / 1e6:.0f} MB for one call, {2 * (maps + network) / 1e6:.0f} MB for"
    assert both in printed
    # 64 voxels, of which a block holds 44: two along each axis.
    assert re.search(r"half-map: 8 blocks if the mask fills the box, \S+ s for one, timed", printed)
    assert "FFTs" not in printed
    assert main(["doctor", "--box", "64", "--angpix", "3"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "map of 3 Å a voxel" in printed
    assert "own: --angpix" not in printed
    assert "64 blocks if the mask" in printed  # 128 voxels of 1.5 Å: four along each axis


def test_box_without_the_weights_says_what_is_not_known(capsys, hook):
    hook("--method denoiser --weights gone.pt")
    assert main(["doctor", "--box", "64"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "memory, time not known: --weights names gone.pt, which is not a file" in printed


def test_the_real_prediction_is_printed(capsys):
    assert main(["doctor", "--box", "64"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  CPU memory +\d+ MB for one call, \d+ MB for the two", printed, re.M)
    assert re.search(r"^  time of the FFTs +about \d+\.\d s for each half-map", printed, re.M)


def test_box_is_told_whether_or_not_the_variable_is_set(capsys, cost, monkeypatch):
    monkeypatch.delenv(hook_variable.NAME)
    assert main(["doctor", "--box", "64"]) == 1
    printed = capsys.readouterr().out
    assert "taken to have no options" in printed
    assert "CPU memory" in printed


def test_too_little_memory_for_both_halves_is_a_problem(capsys, cost, monkeypatch):
    monkeypatch.setattr(system, "available_memory", lambda: 3 * 10**9)
    cost.host_bytes = 1.5e9
    assert main(["doctor", "--box", "64"]) == 0
    cost.host_bytes = 1.6e9
    assert main(["doctor", "--box", "64"]) == 1
    printed = capsys.readouterr().out
    assert (
        "two calls at once of the hook need 3.2 GB of CPU memory, and 3.0 GB are free." in printed
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--box", "15"],
        ["--box", "65"],
        ["--box", "-64"],
        ["--box", "64", "--padding", "0"],
        ["--box", "50", "--padding", "1.5"],
    ],
)
def test_impossible_boxes_are_refused(capsys, options):
    assert main(["doctor", *options]) == 1
    assert re.match(r"relion-external: error: --(box|padding)", capsys.readouterr().err)


def test_calibration_is_in_the_range_of_computers():
    # 1 ps to 10 µs per voxel: a unit mistaken (ns, whole volume) falls outside.
    assert 1e-12 < doctor_box.seconds_per_fft_point(Device("CPU", ""), threads=1, size=32) < 1e-5
