"""The doctor's report, its figures and its exit status."""

from __future__ import annotations

import configparser
import hashlib
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from plugin_core.backend import Device
from relion_external import hook_variable, network_weights, system
from relion_external.cli import main
from relion_external.commands import doctor
from relion_external.gpu_probe import Gpu, Probe

HOOK = f"{shlex.quote(sys.executable)} -m relion_external reconstruct"


@pytest.fixture(autouse=True)
def hook_set(monkeypatch):
    """The variable names this program, as the user should have set it."""
    monkeypatch.setenv(hook_variable.NAME, HOOK)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def cost(monkeypatch):
    """Stand-in for plugin_core.cost, so that the figures to expect are known."""
    cost = types.SimpleNamespace(host_bytes=10**6, device_bytes=2 * 10**6, fft_points=1e6)
    module = types.ModuleType("plugin_core.cost")
    module.predict = lambda box, padding: cost
    monkeypatch.setitem(sys.modules, "plugin_core.cost", module)
    monkeypatch.setattr(doctor, "seconds_per_fft_point", lambda device: 5e-6)
    return cost


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
    assert f"Not ready: {hook_variable.NAME} asks for the denoiser, but {weights} cannot" in printed


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
    assert "asks for the denoiser, but --weights names gone.pt, which is not a file." in printed


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
    assert doctor.relion_arrays_bytes(box, padding) == sum(array.nbytes for array in arrays)


def test_box(capsys, cost):
    assert main(["doctor", "--box", "400"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    # 3 arrays of 800 × 800 × 401 float32: 3.08 GB
    assert "3.1 GB on disk for each half-map, 6.2 GB for both" in printed
    assert "peak memory 1 MB for each half-map, 2 MB for both" in printed
    assert "time of the FFTs about 5.0 s for each half-map, CPU" in printed


def test_the_real_prediction_is_printed(capsys):
    assert main(["doctor", "--box", "64"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  peak memory +\d+ MB for each half-map", printed, re.M)
    assert re.search(r"^  time of the FFTs +about \d+\.\d s for each half-map", printed, re.M)


def test_box_is_told_whether_or_not_the_variable_is_set(capsys, cost, monkeypatch):
    monkeypatch.delenv(hook_variable.NAME)
    assert main(["doctor", "--box", "64"]) == 1
    assert "peak memory" in capsys.readouterr().out


def test_too_little_memory_for_both_halves_is_a_problem(capsys, cost, monkeypatch):
    monkeypatch.setattr(system, "available_memory", lambda: 3 * 10**9)
    cost.host_bytes = 1.5e9
    assert main(["doctor", "--box", "64"]) == 0
    cost.host_bytes = 1.6e9
    assert main(["doctor", "--box", "64"]) == 1
    printed = capsys.readouterr().out
    assert "Not ready: this box needs 3.2 GB of memory, and 3.0 GB are free." in printed


@pytest.mark.parametrize(
    "options",
    [["--box", "15"], ["--box", "65"], ["--box", "-64"], ["--box", "64", "--padding", "0"]],
)
def test_impossible_boxes_are_refused(capsys, options):
    assert main(["doctor", *options]) == 1
    assert "takes" in capsys.readouterr().err


def test_calibration_is_in_the_range_of_computers():
    # 1 ps to 10 µs per voxel: a unit mistaken (ns, whole volume) falls outside.
    assert 1e-12 < doctor.seconds_per_fft_point(Device("CPU", ""), size=32) < 1e-5
