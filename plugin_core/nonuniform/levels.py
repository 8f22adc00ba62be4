"""The cutoffs among which the search chooses, and the filter and window of each."""

from __future__ import annotations

import numpy as np

COARSEST_ANGSTROM = 40.0
"""Resolution of the coarsest cutoff: RELION joins the half-sets below it anyway."""

_NO_FILTER = 1e-6
"""Gain below which a filter counts as zero."""

_NO_WINDOW = 2e-6
"""Gain below which a window counts as zero. It decides between levels, which may differ little."""


def cutoff_levels(box: int, voxel_size: float, max_shell: int, count: int) -> np.ndarray:
    """Butterworth cutoffs in shells, equispaced in spatial frequency, coarsest first.

    Parameters
    ----------
    box : int
        Voxels a side.
    voxel_size : float
        In Å.
    max_shell : int
        Last shell with data: the finest cutoff.
    count : int
        Number of levels. Where the coarse limit is already beyond `max_shell` there is but one.

    Returns
    -------
    (count,) float64
    """
    if count < 1:
        raise ValueError(f"at least one cutoff level is needed, not {count}")
    coarsest = max(box * voxel_size / COARSEST_ANGSTROM, 1.0)
    if coarsest >= max_shell:
        return np.array([float(max_shell)])
    return np.linspace(coarsest, max_shell, count)


def window_sigma(cutoff: float, awf: float) -> float:
    """Width of a level's Gaussian window, as its standard deviation *in wavelengths times N*.

    The adaptive window factor is read as the whole extent of the window in wavelengths of the
    cutoff (Punjani et al., Eqn. 8: the extent must exceed AWF wavelengths). A Gaussian is taken to
    extend over six standard deviations, so sigma is AWF / 6 wavelengths, and the paper's AWF of 3
    is a full width at half maximum of 1.18 wavelengths.

    Returns
    -------
    float
        sigma / N: the standard deviation as a fraction of the box.
    """
    return awf / (6 * cutoff)


def window_gain(box: int, cutoff: float, awf: float) -> tuple[np.ndarray, np.ndarray]:
    """Fourier gain of a level's window along one full and one half axis, float32.

    The Gaussian is separable: the gain of a voxel is the product of the gains along z, y and x.
    """
    sigma = window_sigma(cutoff, awf)
    full = np.fft.fftfreq(box, 1 / box)
    half = np.arange(box // 2 + 1)
    return (
        np.exp(-2 * (np.pi * sigma * full) ** 2).astype(np.float32),
        np.exp(-2 * (np.pi * sigma * half) ** 2).astype(np.float32),
    )


def filter_limit(box: int, cutoff: float, order: int) -> int:
    """First frequency, along an axis, at which the Butterworth filter counts as zero."""
    return _rounded(cutoff * _NO_FILTER ** (-1 / order), box)


def window_limit(box: int, cutoff: float, awf: float) -> int:
    """First frequency, along an axis, at which the window counts as zero."""
    return _rounded(np.sqrt(-np.log(_NO_WINDOW) / 2) / (np.pi * window_sigma(cutoff, awf)), box)


def _rounded(limit: float, box: int) -> int:
    """Round up to one of few numbers, so that transforms of one shape serve several levels."""
    step = max(box // 32, 1)
    return min(step * int(np.ceil(limit / step)), box // 2 + 1)
