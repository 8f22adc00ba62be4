"""Figures that users expect of a finished pair of half-maps, all from the raw maps."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array
from plugin_core.postprocessing.conical_fsc import ConicalFsc, conical_fsc
from plugin_core.postprocessing.fsc_set import FscSet, fsc_set
from plugin_core.postprocessing.guinier import GuinierFit, GuinierPlot, fit_b_factor, guinier_plot
from plugin_core.postprocessing.sharpening import sharpened_map

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HalfMapFigures:
    """What the raw half-maps say.

    Attributes
    ----------
    fsc : FscSet
    mask : (N, N, N) float32
        The mask of the masked and corrected curves.
    mask_fraction : float
        Part of the box that the mask fills, 0 to 1.
    directions : ConicalFsc
    guinier : GuinierPlot
    b_factor : GuinierFit or None
        None where too few shells lie between 10 Å and the resolution for a line.
    sharpened : (N, N, N) float32 or None
        Average of the half-maps, weighted by the FSC, sharpened and cut at the resolution.
    """

    fsc: FscSet
    mask: Array
    mask_fraction: float
    directions: ConicalFsc
    guinier: GuinierPlot
    b_factor: GuinierFit | None
    sharpened: Array | None

    @property
    def headline(self) -> str:
        """Resolution in words, with what it hangs on: the mask."""
        corrected, unmasked = map(self.fsc.resolution_angstrom, ("corrected", "unmasked"))
        without = f"at {unmasked:.1f} Å" if np.isfinite(unmasked) else "nowhere"
        return (
            f"0.143 at {corrected:.1f} Å, corrected (in a mask of {100 * self.mask_fraction:.1f} % "
            f"of the box; without mask {without})"
        )


def half_map_figures(half1: Array, half2: Array, mask: Array, voxel_size: float) -> HalfMapFigures:
    """Compute all figures.

    Parameters
    ----------
    half1, half2 : (N, N, N) float32
        Raw half-maps.
    mask : (N, N, N) float32
        Soft mask, 0 to 1.
    voxel_size : float
        In Å.
    """
    fsc = fsc_set(half1, half2, mask, voxel_size)
    average = (half1 + half2) / 2
    guinier = guinier_plot(average, fsc.corrected, voxel_size)
    b_factor = sharpened = None
    try:
        b_factor = fit_b_factor(guinier, fsc.corrected)
        sharpened = sharpened_map(average, fsc.corrected, voxel_size, b_factor.b_factor)
    except ValueError as error:
        log.warning("no sharpened map: %s", error)
    directions = conical_fsc(half1 * mask, half2 * mask, voxel_size)
    fraction = float(mask.mean(dtype=np.float64))
    return HalfMapFigures(fsc, mask, fraction, directions, guinier, b_factor, sharpened)
