"""The search for the cutoff of least risk at every voxel.

Smoothing each level's risk density with its own window and comparing the results directly is
biased: the wide windows of coarse levels average in quiet solvent, so they win near the particle
although they are wrong there. Two levels may only be compared over one window. So the *difference*
between neighbouring levels is smoothed with the window of the finer, and the differences are
summed from the coarsest level on: E_j = sum over i <= j of w_i * (e_i - e_{i-1}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import butterworth, irfftn, radii, rfftn
from plugin_core.nonuniform.levels import window_gain
from plugin_core.nonuniform.risks import Risk


@dataclass(frozen=True)
class SearchResult:
    """The chosen filter at every voxel.

    Attributes
    ----------
    level : (N, N, N) uint8 or uint16
        Index of the cutoff of least risk.
    value : (N, N, N) float32
        The half-map filtered at that cutoff, there.
    """

    level: Array
    value: Array


def search(
    risk: Risk,
    box: int,
    cutoffs: np.ndarray,
    *,
    order: int,
    awf: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SearchResult:
    """Choose at every voxel the cutoff of least windowed risk.

    Parameters
    ----------
    risk : Risk
    box : int
        Voxels a side.
    cutoffs : (levels,) float64
        Butterworth cutoffs in shells, coarsest first.
    order : int
        Butterworth order.
    awf : float
        Adaptive window factor (:func:`plugin_core.nonuniform.levels.window_sigma`).
    progress : callable
        Told after each level how many of how many are done.
    """
    radius = radii(box)
    current = risk.filtered(butterworth(radius, cutoffs[0], order))
    xp = array_module(current[0])
    value = current[0].copy()
    level = xp.zeros(value.shape, dtype=np.min_scalar_type(len(cutoffs)))
    total_risk = xp.zeros_like(value)
    least_risk = xp.zeros_like(value)
    for index in range(1, len(cutoffs)):
        previous, current = current, risk.filtered(butterworth(radius, cutoffs[index], order))
        difference = risk.difference(index, current, previous)
        total_risk += _smooth(difference, window_gain(box, cutoffs[index], awf))
        better = total_risk < least_risk
        xp.copyto(least_risk, total_risk, where=better)
        xp.copyto(value, current[0], where=better)
        level[better] = index
        progress(index + 1, len(cutoffs))
    return SearchResult(level, value)


def _smooth(density: Array, gain: tuple[np.ndarray, np.ndarray]) -> Array:
    """Convolve with a separable window given by its Fourier gains along a full and a half axis."""
    xp = array_module(density)
    full, half = (xp.asarray(axis) for axis in gain)
    transform = rfftn(density)
    transform *= full[:, None, None]
    transform *= full[:, None]
    transform *= half
    return irfftn(transform, density.shape[0])
