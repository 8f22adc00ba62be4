"""Independent truths: filters and shells on the full Fourier grid, in float64, by NumPy's FFT."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


def _full_radius(box: int) -> np.ndarray:
    axis = np.fft.fftfreq(box, 1 / box)
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)


@pytest.fixture
def full_radius() -> Callable[[int], np.ndarray]:
    """Radius in shells of every voxel of the full complex grid of a cube of the given box."""
    return _full_radius


@pytest.fixture
def full_filter() -> Callable[[np.ndarray, Callable], np.ndarray]:
    """Filter a map by a function of the radius in shells."""

    def apply(volume: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        transform = np.fft.fftn(volume.astype(np.float64))
        return np.fft.ifftn(transform * gain(_full_radius(volume.shape[0]))).real

    return apply


@pytest.fixture
def full_shells() -> Callable[[np.ndarray], np.ndarray]:
    """Sum a quantity on the full complex grid over each shell up to box // 2."""

    def sums(values: np.ndarray) -> np.ndarray:
        box = values.shape[0]
        shell = np.floor(_full_radius(box) + 0.5).astype(int)
        return np.array([values[shell == k].sum() for k in range(box // 2 + 1)])

    return sums
