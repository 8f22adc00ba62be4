"""Are these two maps raw half-maps of one particle? If not: what they seem to be, in words."""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array, to_host
from plugin_core.fourier import shell_power, shell_to_angstrom
from plugin_core.fsc import HALF_MAP_THRESHOLD, fourier_shell_correlation, last_shell_above
from plugin_core.masks import squared_distance

WANTED = (
    "Give the raw half-maps, neither filtered, masked nor sharpened (RELION: "
    "run_half1_class001_unfil.mrc, cryoSPARC: map_half_A, EMDB: half_map_1)."
)

SILENT_BLOCK = 0.01
"""A block this much quieter than the loudest, in standard deviation, holds no data. Noise fills a
raw half-map evenly, and the density stands out of it by ten times at most."""

SILENT_FRACTION = 0.05
"""More silent blocks than this are a mask."""

LOST_POWER = 1e-3
"""Noise power in a raw half-map changes by ten times or so from where it equals the signal to
Nyquist; this much less is a filter's work."""

LOW_RESOLUTION_ANGSTROM = 30.0
LOW_RESOLUTION_AGREEMENT = 0.7
NO_AGREEMENT = 0.5
"""Mean FSC below which two maps are not halves of one data set: a resolution of some 30 Å alone has
more."""
"""Least mean FSC to 30 Å: there, refinement keeps the halves in one orientation."""


def check_half_maps(half1: Array, half2: Array, voxel_size: float) -> list[str]:
    """Say what speaks against two maps being a pair of raw half-maps.

    Parameters
    ----------
    half1, half2 : (N, N, N) float32
    voxel_size : float
        In Å.

    Returns
    -------
    list of str
        Sentences: what is amiss, and last what to give instead; empty if nothing is.
    """
    fsc = fourier_shell_correlation(half1, half2)
    not_raw = [
        masked_warning(half1, "Half-map 1"),
        masked_warning(half2, "Half-map 2"),
        filtered_warning(half1, fsc, voxel_size, "Half-map 1"),
        filtered_warning(half2, fsc, voxel_size, "Half-map 2"),
        dependence_warning(fsc),
    ]
    advice = WANTED if any(not_raw) else None
    disagreement = disagreement_warning(fsc, half1.shape[0], voxel_size)
    return [sentence for sentence in (*not_raw, disagreement, advice) if sentence]


def masked_warning(volume: Array, name: str) -> str | None:
    """Warn if parts of the map are empty, as a mask leaves them.

    Looked at are blocks of a thirty-second of the box, up to 45 % of it from the centre: RELION
    empties the corners of every map.
    """
    silent = _silent_fraction(volume)
    if silent <= SILENT_FRACTION:
        return None
    return (
        f"{name} has been masked: {100 * silent:.0f} % of the sphere in its box is empty, but "
        "noise fills a raw half-map, and the FSC would tell of the mask."
    )


def filtered_warning(volume: Array, fsc: np.ndarray, voxel_size: float, name: str) -> str | None:
    """Warn if the power beyond the resolution falls to nothing, as a low-pass filter leaves it.

    It is measured against the shell where signal and noise are equal (FSC 0.5).
    """
    power = shell_power(volume, len(fsc))
    reference = power[max(last_shell_above(fsc, 0.5), 1)]
    lost = np.flatnonzero(power[1:] < LOST_POWER * reference) + 1
    if not lost.size:
        return None
    resolution = shell_to_angstrom(int(lost[0]), volume.shape[0], voxel_size)
    return (
        f"{name} has been low-pass filtered, or comes from an iteration that stopped short of "
        f"Nyquist: nothing is left at {resolution:.1f} Å, where a raw half-map has noise."
    )


def dependence_warning(fsc: np.ndarray) -> str | None:
    """Warn if the maps agree to the last shell: the same map, or the same particles, twice."""
    least = float(fsc[1:].min())
    if least < HALF_MAP_THRESHOLD:
        return None
    if least > 0.99:
        return f"The two half-maps are the same map: their FSC is {least:.3f} at the least."
    return (
        f"The FSC of the half-maps never falls below {HALF_MAP_THRESHOLD} (least: {least:.2f}): "
        "either the voxel size limits the resolution, or the halves are not independent (shared "
        "particles, masked, or denoised together)."
    )


def low_resolution_agreement(fsc: np.ndarray, box: int, voxel_size: float) -> float:
    """Mean FSC up to 30 Å, or over the first two shells."""
    return float(np.mean(fsc[1 : _low_resolution_shell(fsc, box, voxel_size) + 1]))


def _low_resolution_shell(fsc: np.ndarray, box: int, voxel_size: float) -> int:
    return min(max(int(box * voxel_size / LOW_RESOLUTION_ANGSTROM), 2), len(fsc) - 1)


def disagreement_warning(fsc: np.ndarray, box: int, voxel_size: float) -> str | None:
    """Warn if the maps disagree at low resolution: not superposed, or not of one particle.

    A small, round particle looks much the same from all sides there: two maps of it that differ
    in orientation pass.
    """
    last = _low_resolution_shell(fsc, box, voxel_size)
    agreement = low_resolution_agreement(fsc, box, voxel_size)
    if agreement >= LOW_RESOLUTION_AGREEMENT:
        return None
    if agreement < -LOW_RESOLUTION_AGREEMENT:
        return "One half-map has the contrast of the other reversed: multiply it by -1."
    return (
        f"The half-maps disagree even to {box * voxel_size / last:.0f} Å (mean FSC "
        f"{agreement:.2f}): they are not superposed, not halves of one data set, or of no better "
        "resolution than that."
    )


def _silent_fraction(volume: Array) -> float:
    """Fraction of blocks within 45 % of the box from its centre that hold no data."""
    edge = max(volume.shape[0] // 32, 2)
    blocks = volume.shape[0] // edge
    inner = volume[: blocks * edge, : blocks * edge, : blocks * edge]
    spread = to_host(inner.reshape(blocks, edge, blocks, edge, blocks, edge).std(axis=(1, 3, 5)))
    spread = spread[squared_distance(blocks) < (0.45 * blocks) ** 2]
    return float((spread < SILENT_BLOCK * spread.max()).mean())
