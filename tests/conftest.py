"""Skips tests whose marker names something that is not installed here; fixtures for all tests."""

from __future__ import annotations

import importlib
import shutil
from functools import cache
from types import ModuleType

import pytest

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
