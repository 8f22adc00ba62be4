"""RELION's data and weight arrays as a given map and noise level would make them.

For tests and timings: no particles, just the arrays of one half-set with a known answer.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from plugin_core.masks import squared_distance
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators


def accumulate(
    volume: np.ndarray, grid: PaddedGrid, weight: np.ndarray, rng: np.random.Generator | None
) -> Accumulators:
    """Make the arrays whose reconstruction is `volume` plus noise.

    Parameters
    ----------
    volume : (N, N, N) float32
        The true map, origin at N // 2; what it holds beyond ``grid.max_shell`` is cut.
    grid : PaddedGrid
    weight : (max_shell + 1,) float64
        Weight of each shell; the noise variance of the data is the weight, as in RELION.
    rng : numpy.random.Generator or None
        Source of the noise; None for none.

    Returns
    -------
    Accumulators
        Three (P, P, P // 2 + 1) float32 arrays.
    """
    transform = _padded_transform(volume, grid)
    index = np.fft.fftfreq(grid.size, 1 / grid.size).round().astype(np.int32) ** 2
    radius2 = index[:, None, None] + index[:, None] + index[: grid.size // 2 + 1]
    inside = radius2 < grid.radius**2
    shells = np.floor(np.sqrt(np.arange(grid.radius**2)) / grid.padding + 0.5).astype(np.int64)
    weights = np.zeros(grid.shape, dtype=np.float32)
    weights[inside] = weight[shells][radius2[inside]]
    transform *= weights
    if rng is not None:
        transform += _noise(grid, rng) * np.sqrt(weights)
    real, imag = (np.ascontiguousarray(part) for part in (transform.real, transform.imag))
    return Accumulators(real, imag, weights)


def _padded_transform(volume: np.ndarray, grid: PaddedGrid) -> np.ndarray:
    """Transform of the zero-padded map in RELION's units, origin at the first voxel.

    Trilinear insertion of the images lets the map fall off from its origin, signal and noise alike.
    """
    fall_off = np.sinc(np.sqrt(squared_distance(grid.box)) / grid.size) ** 2
    padded = np.zeros((grid.size,) * 3, dtype=np.float32)
    index = (np.arange(grid.box) - grid.box // 2) % grid.size
    padded[np.ix_(index, index, index)] = volume * fall_off
    return scipy.fft.rfftn(padded) / np.float32(grid.box**2)


def _noise(grid: PaddedGrid, rng: np.random.Generator) -> np.ndarray:
    """Noise that makes 1 / (p^3 weight) the variance of each component of an un-padded voxel.

    Data interpolated from images of N pixels hold no detail finer than an un-padded voxel, so the
    noise is that of a map of N voxels a side, seen on the padded grid.
    """
    deviation = np.sqrt(2 * grid.box / grid.padding**3)
    field = rng.standard_normal((grid.box,) * 3, dtype=np.float32)
    return _padded_transform(field * np.float32(deviation), grid)
