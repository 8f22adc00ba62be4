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

from plugin_core.backend import Array, array_module, copy_where, for_slabs
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
    best = _Best(current[0], len(cutoffs))
    progress(1, len(cutoffs))
    for index in range(1, len(cutoffs)):
        previous, current = current, risk.filtered(butterworth(radius, cutoffs[index], order))
        rise = _smooth(risk.difference(index, current, previous), cutoffs[index], awf)
        best.compare(index, rise, current[0])
        progress(index + 1, len(cutoffs))
    return SearchResult(best.level, best.value)


class _Best:
    """The level of least risk so far at every voxel; it starts with level 0."""

    def __init__(self, value: Array, levels: int) -> None:
        xp = array_module(value)
        self.value = value.copy()
        self.level = xp.zeros(value.shape, dtype=np.min_scalar_type(levels))
        self._risk = xp.zeros_like(value)
        self._least = xp.zeros_like(value)

    def compare(self, index: int, rise: Array, value: Array) -> None:
        """Take level `index`, whose risk is higher by `rise` than the last one's, where best."""
        xp = array_module(value)

        def update(z: slice) -> None:
            risk, least, level = self._risk[z], self._least[z], self.level[z]
            risk += rise[z]
            better = risk < least
            xp.minimum(least, risk, out=least)
            copy_where(self.value[z], value[z], better)
            # Levels come in ascending order, so the last one that was better is the greatest.
            xp.maximum(level, better * self.level.dtype.type(index), out=level)

        for_slabs(value, update)


def _smooth(density: Array, cutoff: float, awf: float) -> Array:
    """Convolve with the window of the level of this cutoff; `density` may be overwritten."""
    box = density.shape[0]
    full, half = (array_module(density).asarray(axis) for axis in window_gain(box, cutoff, awf))
    plane = full[:, None] * half
    transform = rfftn(density)

    def multiply(z: slice) -> None:
        transform[z] *= full[z, None, None] * plane

    for_slabs(transform, multiply)
    return irfftn(transform, box)
