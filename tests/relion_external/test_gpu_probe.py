"""Probing CuPy and PyTorch: stand-ins for installations that work, fail, crash and hang."""

from __future__ import annotations

import os

import pytest

from relion_external.gpu_probe import Gpu, Probe, probe

WORKING_CUPY = """
import types
__version__ = "13.9.0"

class Device:
    current = 0
    def __init__(self, number):
        self.number = number
    def __enter__(self):
        Device.current = self.number
    def __exit__(self, *error):
        pass

runtime = types.SimpleNamespace(
    getDeviceCount=lambda: 2,
    getDeviceProperties=lambda number: {"name": b"Card %d" % number},
    memGetInfo=lambda: (1000 + Device.current, 2000),
)
cuda = types.SimpleNamespace(Device=Device, runtime=runtime)
"""
NO_DRIVER_CUPY = """
import types
__version__ = "13.9.0"

def getDeviceCount():
    raise RuntimeError("cudaErrorInsufficientDriver:\\n driver too old")

cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=getDeviceCount))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a module before all others, here and in child processes."""

    def install(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    return install


def test_two_gpus(install):
    install("cupy", WORKING_CUPY)
    gpus = (Gpu("Card 0", 1000, 2000), Gpu("Card 1", 1001, 2000))
    assert probe("cupy") == Probe(True, "13.9.0", gpus)


def test_a_driver_error_is_told_in_one_line(install):
    install("cupy", NO_DRIVER_CUPY)
    error = "cudaErrorInsufficientDriver: driver too old"
    assert probe("cupy") == Probe(True, "13.9.0", (), error)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import libnvrtc", "ModuleNotFoundError: No module named 'libnvrtc' (exit status 1)"),
        ("import os; os.kill(os.getpid(), 11)", "no message (exit status -11)"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_broken_installation_is_survived(install, source, error):
    install("cupy", source)
    assert probe("cupy", limit_s=1 if "sleep" in source else 60) == Probe(True, error=error)


def test_not_installed():
    assert probe("no_such_library") == Probe(installed=False)


def test_torch_built_without_cuda(install):
    install("torch", "import types\n__version__ = '2'\nversion = types.SimpleNamespace(cuda=None)")
    assert probe("torch") == Probe(True, "2", (), "built without CUDA")


def test_torch_with_a_gpu(install):
    install(
        "torch",
        """
import types
__version__ = "2"
version = types.SimpleNamespace(cuda="12.8")
cuda = types.SimpleNamespace(
    device_count=lambda: 1,
    get_device_name=lambda number: "Card",
    mem_get_info=lambda number: (1, 2),
)
""",
    )
    assert probe("torch") == Probe(True, "2", (Gpu("Card", 1, 2),))
