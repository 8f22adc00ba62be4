"""What every regulariser is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plugin_core.backend import Array


@dataclass(frozen=True)
class RegularizerInput:
    """One half-map and what is known of it. All maps are (N, N, N) float32 on one device.

    Attributes
    ----------
    half_map : Array
        Raw map: no prior, no mask, no filter.
    partner : Array or None
        The other raw half-map, for regularisers that compare the two.
    support : Array
        Soft mask, 0 to 1, of where there can be density.
    noise_power : (shells,) float64, or None
        Noise power |rfftn|^2 of `half_map` per Fourier voxel, shell by shell; None for regularisers
        that do without.
    voxel_size : float
        In Å.
    max_shell : int
        Last shell that was measured.
    quarters : pair of Array, or None
        Raw maps of two random halves of this half-set, for the risk that compares these.
    """

    half_map: Array
    partner: Array | None
    support: Array
    noise_power: np.ndarray | None
    voxel_size: float
    max_shell: int
    quarters: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Regularized:
    """A regularised map.

    Attributes
    ----------
    volume : (N, N, N) float32
    cutoff_angstrom : (N, N, N) float32, or None
        Local resolution cutoff in Å, 0 outside the support; None where there is no such thing.
    summary : dict
        Figures for the log and the history.
    """

    volume: Array
    cutoff_angstrom: Array | None
    summary: dict[str, Any]
