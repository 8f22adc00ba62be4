"""Which frequencies of the answer come from the denoised map, which from the Wiener-filtered one.

The network knows nothing beyond the Nyquist frequency of its own voxel size: beyond it the ordinary
Wiener-filtered map takes over. And where half-maps tell by their FSC how far the evidence reaches,
the denoised map ends some shells before (spectral trailing, Kimanius et al., Nat. Methods 2024);
the Wiener-filtered one, which is attenuated by that FSC itself, ends there.
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


@dataclass(frozen=True)
class Bands:
    """Gains of both maps for every squared radius (see :func:`plugin_core.fourier.radii`)."""

    denoised: np.ndarray
    wiener: np.ndarray


def bands(
    box: int,
    max_shell: int,
    nyquist_shell: int,
    cut: tuple[int, int] | None,
) -> Bands:
    """Split the frequencies between the two maps.

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
    """
    radius = radii(box)
    measured = (radius < max_shell + 0.5).astype(np.float64)
    crossover = nyquist_shell - CROSSOVER_DISTANCE if nyquist_shell < box // 2 else None
    if cut is not None and (crossover is None or cut[0] < crossover):
        return Bands(measured * _low_pass(radius, cut[0]), np.zeros_like(radius))
    if crossover is None:
        return Bands(measured, np.zeros_like(radius))
    known = _low_pass(radius, crossover)
    evident = measured if cut is None else measured * _low_pass(radius, cut[1])
    return Bands(measured * known, evident * (1 - known))


def _low_pass(radius: np.ndarray, shell: int) -> np.ndarray:
    return raised_cosine_low_pass(radius, shell, EDGE_WIDTH)


def combine(denoised: Array, split: Bands, wiener: Callable[[], Array]) -> Array:
    """Put the answer together; `wiener` is called only if some of its map is wanted.

    Parameters
    ----------
    denoised : (N, N, N) float32
    wiener : callable
        Returns the Wiener-filtered map, (N, N, N) float32.

    Returns
    -------
    (N, N, N) float32
    """
    transform = apply_radial(rfftn(denoised), split.denoised)
    if split.wiener.any():
        transform += apply_radial(rfftn(wiener()), split.wiener)
    return irfftn(transform, denoised.shape[0])
