"""What a Fourier shell correlation curve says."""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import rfftn, shell_sums, squared_radius

HALF_MAP_THRESHOLD = 0.143
"""FSC between half-maps at which the joined map has an FSC of 0.5 to the truth (Rosenthal &
Henderson, J. Mol. Biol. 2003)."""


def fourier_shell_correlation(map1: Array, map2: Array) -> np.ndarray:
    """FSC of two (N, N, N) maps: (N // 2 + 1,) float64; 0 in shells where a map has no power."""
    if map1.shape != map2.shape:
        raise ValueError(f"the two maps differ in shape: {map1.shape} and {map2.shape}")
    xp = array_module(map1)
    box = map1.shape[0]
    shells = box // 2 + 1
    radius2 = squared_radius(box, xp)
    transform1, transform2 = rfftn(map1), rfftn(map2)
    cross = shell_sums((transform1 * transform2.conj()).real, radius2, shells)
    power1 = shell_sums(abs(transform1) ** 2, radius2, shells)
    power2 = shell_sums(abs(transform2) ** 2, radius2, shells)
    norm = np.sqrt(power1 * power2)
    return np.divide(cross, norm, out=np.zeros(shells), where=norm > 0)


def last_shell_above(fsc: np.ndarray, threshold: float = HALF_MAP_THRESHOLD) -> int:
    """Last shell before the curve first drops below `threshold` (shell 0 is not looked at).

    A curve that never drops returns its last shell; one that starts below returns 0.
    """
    below = np.flatnonzero(np.asarray(fsc)[1:] < threshold)
    return int(below[0]) if below.size else len(fsc) - 1


def joined_fsc(half_map_fsc: np.ndarray) -> np.ndarray:
    """Signal fraction of the map joined from both half-sets, 2 F / (1 + F) (Rosenthal & Henderson).

    Negative correlations count as zero.
    """
    fsc = np.clip(half_map_fsc, 0, 1)
    return 2 * fsc / (1 + fsc)
