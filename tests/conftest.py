"""Skips tests whose marker names something that is not installed here; fixtures for all tests."""

from __future__ import annotations

import functools
import importlib
import shutil
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.fft

from relion_external.gpu_probe import probe


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("relion") and shutil.which("relion_refine_mpi") is None:
        pytest.skip("RELION is not installed: relion_refine_mpi is not on the PATH")
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("CuPy sees no GPU")


@cache
def _has_gpu() -> bool:
    return bool(probe("cupy").gpus)


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """The array module: one test body serves NumPy and CuPy."""
    return importlib.import_module(request.param)


class DeviceArray(np.ndarray):
    """An array of a GPU that is not there: NumPy's, but as strict as CuPy about mixing the two."""

    __module__ = "cupy"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        _refuse_host_arrays([*inputs, *(options.get("out") or ())])
        plain = [_plain(each) for each in inputs]
        if "out" in options:
            options["out"] = tuple(_plain(each) for each in options["out"])
        return _on_device(getattr(ufunc, method)(*plain, **options))

    def __getitem__(self, key: Any) -> Any:
        _refuse_host_arrays(key if isinstance(key, tuple) else (key,))
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse_host_arrays([*(key if isinstance(key, tuple) else (key,)), value])
        super().__setitem__(key, value)

    def get(self) -> np.ndarray:
        return _plain(self)


def _refuse_host_arrays(values: Any) -> None:
    for value in values:
        if type(value) is np.ndarray and value.ndim:
            raise TypeError("a NumPy array among those of the device")


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def _on_device(value: Any) -> Any:
    return value.view(DeviceArray) if isinstance(value, np.ndarray) else value


def _device_version(function: Callable[..., Any], upload: bool = False) -> Callable[..., Any]:
    """A function of NumPy's or SciPy's for arrays of the device; `upload` allows others, too."""

    @functools.wraps(function)
    def on_device(*arguments: Any, **options: Any) -> Any:
        if not upload:
            _refuse_host_arrays([*arguments, *options.values()])
        plain = {name: _plain(value) for name, value in options.items()}
        return _on_device(function(*map(_plain, arguments), **plain))

    return on_device


class _UsedDevice:
    def __init__(self, index: int) -> None:
        self.index = index

    def use(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class DeviceModule(ModuleType):
    """A module whose functions are those of another, for arrays of the device."""

    def __init__(self, name: str, source: ModuleType | None = None) -> None:
        super().__init__(name)
        self._source = source

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._source, name)
        is_function = callable(found) and not isinstance(found, type)
        return _device_version(found, upload=name == "asarray") if is_function else found


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for CuPy, with two GPUs of 4 GB: what only a GPU does can be tested without one.

    It works in slabs of a few planes.
    """
    from plugin_core import backend

    cupy, cupyx = DeviceModule("cupy", np), DeviceModule("cupyx")
    its_scipy, its_fft = DeviceModule("cupyx.scipy"), DeviceModule("cupyx.scipy.fft", scipy.fft)
    cupy.asnumpy, cupy.fft = _plain, DeviceModule("cupy.fft", np.fft)
    cupyx.scipy, its_scipy.fft = its_scipy, its_fft
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 2,
            getDeviceProperties=lambda index: {"name": b"stand-in"},
            memGetInfo=lambda: (4_000_000_000, 4_000_000_000),
        ),
        Device=_UsedDevice,
    )
    for module in (cupy, cupyx, its_scipy, its_fft):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(backend, "DEVICE_SLAB_ELEMENTS", 2000)
    return cupy
