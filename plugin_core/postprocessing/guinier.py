"""Guinier plot and the B-factor read from it (Rosenthal & Henderson, J. Mol. Biol. 2003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import rfftn, shell_counts, shell_sums, squared_radius
from plugin_core.fsc import joined_fsc, last_shell_above

COARSEST_FITTED_ANGSTROM = 10.0
"""Coarser shells show the shape of the particle, not the fall-off of its amplitudes."""


@dataclass(frozen=True)
class GuinierPlot:
    """Mean amplitudes against resolution, each (N // 2 + 1,) float64 with the shell as index.

    Attributes
    ----------
    inverse_resolution_squared : np.ndarray
        1 / d², in 1/Å².
    log_amplitude : np.ndarray
        ln of the mean |F| of a shell, F being the transform divided by N³ (RELION's scale).
    log_weighted_amplitude : np.ndarray
        The same of amplitudes times sqrt(2 FSC / (1 + FSC)); NaN where the FSC is not positive.
    """

    inverse_resolution_squared: np.ndarray
    log_amplitude: np.ndarray
    log_weighted_amplitude: np.ndarray


@dataclass(frozen=True)
class GuinierFit:
    """Straight line through the weighted amplitudes: ln amplitude = intercept + B / 4 · 1/d².

    Attributes
    ----------
    b_factor : float
        In Å²; negative where amplitudes fall off. Applying it sharpens (RELION's sign).
    intercept : float
    r_squared : float
        Coefficient of determination, 1 for a perfect line; RELION's "correlation of fit".
    first_shell, last_shell : int
        Shells fitted, both included.
    """

    b_factor: float
    intercept: float
    r_squared: float
    first_shell: int
    last_shell: int


def guinier_plot(average: Array, fsc: np.ndarray, voxel_size: float) -> GuinierPlot:
    """Compute the Guinier plot of the average of two half-maps.

    Parameters
    ----------
    average : (N, N, N) float32
        Unmasked, as for RELION's plot.
    fsc : (N // 2 + 1,) float64
        FSC of the half-maps; the corrected one for RELION's plot.
    voxel_size : float
        In Å.
    """
    xp = array_module(average)
    box, shells = average.shape[0], len(fsc)
    amplitude = shell_sums(abs(rfftn(average)), squared_radius(box, xp), shells)
    amplitude /= shell_counts(box, shells) * float(box) ** 3
    weighted = amplitude * np.sqrt(joined_fsc(fsc))
    return GuinierPlot(
        inverse_resolution_squared=(np.arange(shells) / (box * voxel_size)) ** 2,
        log_amplitude=_log(amplitude),
        log_weighted_amplitude=_log(weighted),
    )


def fit_b_factor(plot: GuinierPlot, fsc: np.ndarray) -> GuinierFit:
    """Fit the line from 10 Å to the resolution at FSC 0.143, every shell alike.

    That is ``relion_postprocess --auto_bfac --autob_lowres 10 --autob_highres RESOLUTION``;
    without the last option RELION goes on beyond the resolution.

    Raises
    ------
    ValueError
        If fewer than three shells lie between 10 Å and the resolution.
    """
    x, y = plot.inverse_resolution_squared, plot.log_weighted_amplitude
    first = int(np.searchsorted(x, COARSEST_FITTED_ANGSTROM**-2))
    last = last_shell_above(fsc)
    if last - first < 2:
        reached = f"{x[last] ** -0.5:.2f} Å" if last else "no resolution at all"
        raise ValueError(
            "no B-factor can be fitted: that takes three shells or more between "
            f"{COARSEST_FITTED_ANGSTROM:g} Å and the resolution, and the FSC reaches {reached}"
        )
    fitted = slice(first, last + 1)
    slope, intercept = np.polyfit(x[fitted], y[fitted], 1)
    r_squared = np.corrcoef(x[fitted], y[fitted])[0, 1] ** 2
    return GuinierFit(4 * float(slope), float(intercept), float(r_squared), first, last)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(values, out=np.full_like(values, np.nan), where=values > 0)
