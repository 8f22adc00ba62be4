"""Which frequencies of the answer come from the denoised map, which from others.

* Where the half-maps agree so well that they have less noise than the network makes errors, the
  half-map itself is the better one. Each shell is a mean of both, weighted by their errors, as in
  the data consistency of networks for magnetic resonance images (Schlemper et al., IEEE Trans. Med.
  Imaging 37, 491, 2018).
* The network knows nothing beyond the Nyquist frequency of its own voxel size: beyond it the
  ordinary Wiener-filtered map takes over.
* Where half-maps tell by their FSC how far the evidence reaches, the denoised map ends some shells
  before (spectral trailing, Kimanius et al., Nat. Methods 2024); the Wiener-filtered one, which is
  attenuated by that FSC itself, ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.spectral_trailing import EDGE_WIDTH

CROSSOVER_DISTANCE = 2
"""Shells before the network's Nyquist frequency where half comes from either map: with an edge of
three shells, nothing is left of the denoised map at that frequency."""

NETWORK_ERROR = 0.03
"""Squared error of the denoised map relative to the signal, in a shell without noise. Measured on
maps of the families kept for validation: from 0.005 to 0.1 the total error changes by 1.6 %, and
is least from 0.02 to 0.05."""

_JOINED = 1 - 1e-5
"""FSC of shells whose half-maps are one and the same, but for rounding."""


@dataclass(frozen=True)
class Bands:
    """Gains of the maps for every squared radius (see :func:`plugin_core.fourier.radii`).

    Attributes
    ----------
    denoised, half_map, wiener : (R^2,) float64
        Of the denoised, the raw and the Wiener-filtered map.
    """

    denoised: np.ndarray
    half_map: np.ndarray
    wiener: np.ndarray


def bands(
    box: int,
    max_shell: int,
    nyquist_shell: int,
    cut: tuple[int, int] | None,
    fsc: np.ndarray | None = None,
) -> Bands:
    """Split the frequencies between the maps.

    Parameters
    ----------
    box : int
        N, voxels a side of the maps.
    max_shell : int
        Last shell that was measured: nothing of either map is left beyond.
    nyquist_shell : int
        Shell of the network's Nyquist frequency; N // 2 or more if its voxels are no larger than
        the map's.
    cut : pair of int, or None
        Shells at which the denoised and the Wiener-filtered map end; None without an FSC. If the
        denoised map ends before the crossover, no other follows.
    fsc : (shells,) float64, optional
        FSC of the raw half-maps. Without it nothing comes from the raw map.
    """
    radius = radii(box)
    measured = (radius < max_shell + 0.5).astype(np.float64)
    crossover = nyquist_shell - CROSSOVER_DISTANCE if nyquist_shell < box // 2 else None
    if cut is not None and (crossover is None or cut[0] < crossover):
        known, beyond = measured * _low_pass(radius, cut[0]), np.zeros_like(radius)
    elif crossover is None:
        known, beyond = measured, np.zeros_like(radius)
    else:
        low_pass = _low_pass(radius, crossover)
        evident = measured if cut is None else measured * _low_pass(radius, cut[1])
        known, beyond = measured * low_pass, evident * (1 - low_pass)
    share = half_map_share(radius, fsc)
    return Bands(known * (1 - share), known * share, beyond)


def half_map_share(radius: np.ndarray, fsc: np.ndarray | None) -> np.ndarray:
    """Weight of the raw half-map in its mean with the denoised one, at `radius` in shells: 0 to 1.

    The noise of a half-map is (1 - FSC) / FSC of the signal, the error of the denoised map
    NETWORK_ERROR of it; the least error of a mean of two independent ones is where each has the
    weight of the other's error.
    """
    if fsc is None:
        return np.zeros_like(radius)
    signal = np.clip(np.interp(radius, np.arange(len(fsc)), unjoined(fsc), right=0), 0, 1)
    return NETWORK_ERROR * signal / (NETWORK_ERROR * signal + (1 - signal))


def unjoined(fsc: np.ndarray) -> np.ndarray:
    """FSC without the shells that RELION made alike: those count as the best of the others.

    At low resolution RELION joins the half-sets before it measures the FSC, which is 1 there
    whatever the noise.
    """
    measured = fsc[fsc < _JOINED]
    return np.minimum(fsc, measured.max(initial=0.0))


def _low_pass(radius: np.ndarray, shell: int) -> np.ndarray:
    return raised_cosine_low_pass(radius, shell, EDGE_WIDTH)


def combine(
    denoised: Array,
    split: Bands,
    half_map: Callable[[], Array],
    wiener: Callable[[], Array],
) -> Array:
    """Put the answer together; a map is called for only if some of it is wanted.

    Parameters
    ----------
    denoised : (N, N, N) float32
    half_map, wiener : callable
        Return the raw and the Wiener-filtered map, (N, N, N) float32, zero where the denoised one
        is by its mask.

    Returns
    -------
    (N, N, N) float32
    """
    transform = apply_radial(rfftn(denoised), split.denoised)
    for gain, volume in ((split.half_map, half_map), (split.wiener, wiener)):
        if gain.any():
            transform += apply_radial(rfftn(volume()), gain)
    return irfftn(transform, denoised.shape[0])
