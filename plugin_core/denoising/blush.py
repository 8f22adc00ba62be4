"""The arithmetic of relion-blush, where it differs from this project's own.

From the facts known of it (commit 87c01af): two reconstructions of its own, a spherical mask, and
the cut at the FSC. Its slips are kept, and said to be such; only what would end in a map of zeros
is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators, correct_interpolation, divided
from plugin_core.weights import Prior, RadialWeights, radial_table

STRIDE = 20

FSC_THRESHOLD = 1 / 7

_EDGE_WIDTH = 2.0
"""Shells from gain 1 to 0: what it calls an edge of 3 is one shell on either side."""

_FLOOR_FRACTION = 1e-3


def unfiltered(
    arrays: Accumulators, radial: RadialWeights, data_dimension: int, xp: ModuleType
) -> Array:
    """Map without prior: data over weights that a thousandth of their radial mean is added to."""
    radius = np.sqrt(np.arange(radial.grid.radius**2))
    shell = np.floor(radius + 0.5).astype(np.int64)  # of the padded grid
    mean = np.bincount(shell, radial.sums) / np.maximum(np.bincount(shell, radial.counts), 1)
    return _reconstruct(arrays, radial.grid, _FLOOR_FRACTION * mean[shell], data_dimension, xp)


def regularised(
    arrays: Accumulators,
    radial: RadialWeights,
    prior: Prior,
    data_dimension: int,
    xp: ModuleType,
) -> Array:
    """Map with RELION's prior, interpolated between shells and applied to all of them.

    Shells without tau2 have no prior.
    """
    tau2 = np.asarray(prior.tau2, dtype=np.float64)
    scale = radial.grid.padding**3 * prior.tau2_fudge
    term = np.divide(1, scale * tau2, out=np.zeros_like(tau2), where=tau2 > 0)
    added = np.interp(radial.radius, np.arange(len(tau2)), term)
    return _reconstruct(arrays, radial.grid, added, data_dimension, xp)


def refinement_mask(
    box: int, particle_diameter: float, voxel_size: float, xp: ModuleType = np
) -> Array:
    """Spherical mask of a refinement: (box, box, box) float32.

    The diameter is multiplied by the voxel size where it should be divided by twice of it, and the
    edge, 20 times the voxel size, is taken in voxels: the sphere nearly always fills the box.
    """
    edge = 20 * voxel_size
    radius = min(particle_diameter * voxel_size + edge / 2, (box - edge) / 2)
    return _radial_mask(box, radius, edge, xp)


def classification_mask(
    box: int, particle_diameter: float, voxel_size: float, xp: ModuleType = np
) -> Array:
    """Spherical mask of a classification, with an edge of 10 Å: (box, box, box) float32."""
    edge = int(10 / voxel_size)
    radius = min(particle_diameter / (2 * voxel_size) + edge / 2, (box - edge) / 2 + 1)
    return _radial_mask(box, radius, edge, xp)


def trailing_shell(fsc: np.ndarray) -> int:
    """Shell at which the denoised map is cut: two before the first with FSC below 1/7.

    Shell 1 at least; half the box less one if the FSC never drops.
    """
    below = np.flatnonzero(np.asarray(fsc) < FSC_THRESHOLD)
    return max(int(below[0]) - 2, 1) if below.size else len(fsc) - 2


def finish_refinement(
    denoised: Array, regularised_map: Callable[[], Array], shell: int, network_box: int, trail: bool
) -> Array:
    """Cut the denoised map at `shell`; or, near the network's Nyquist, go over to the other map.

    Parameters
    ----------
    denoised : (N, N, N) float32
    regularised_map : callable
        Returns the masked map with prior, (N, N, N) float32; called if it is wanted.
    shell : int
        From :func:`trailing_shell`.
    network_box : int
        Voxels a side at the network's voxel size.
    trail : bool
        Otherwise the denoised map is not cut.
    """
    last = network_box // 2 - 2
    if shell > last:
        return go_over(denoised, regularised_map(), last)
    if not trail:
        return denoised
    box = denoised.shape[0]
    return irfftn(apply_radial(rfftn(denoised), _low_pass(box, shell)), box)


def finish_classification(denoised: Array, regularised_map: Array, network_box: int) -> Array:
    """Go over to the map with prior at the network's Nyquist; there is no cut."""
    return go_over(denoised, regularised_map, network_box // 2 - 1)


def go_over(below: Array, beyond: Array, shell: int) -> Array:
    """One map up to a shell, another one beyond it."""
    box = below.shape[0]
    gain = _low_pass(box, shell)
    mixed = apply_radial(rfftn(below), gain) + apply_radial(rfftn(beyond), 1 - gain)
    return irfftn(mixed, box)


def _low_pass(box: int, shell: int) -> np.ndarray:
    return raised_cosine_low_pass(radii(box), shell, _EDGE_WIDTH)


def _reconstruct(
    arrays: Accumulators, grid: PaddedGrid, added: np.ndarray, data_dimension: int, xp: ModuleType
) -> Array:
    """Data over weights with `added` (R^2,), a function of the squared padded radius, added."""
    table = radial_table(added, np.inf, xp)

    def divide_by(weight: Array, radius2: Array) -> Array:
        total = weight + table[radius2]
        total[total == 0] = np.inf  # nothing was measured there
        return total

    volume = divided(arrays, grid, divide_by, xp)
    volume *= np.float32(float(grid.box) ** data_dimension)
    correct_interpolation(volume, grid)
    return volume


def _radial_mask(box: int, radius: float, edge: float, xp: ModuleType) -> Array:
    """1 up to `radius` - edge // 2, a cosine to 0 at `radius` + edge // 2, all in voxels.

    On coordinates from -box / 2 to box / 2, both included: a little more than a voxel apart.
    """
    axis = xp.linspace(-box / 2, box / 2, box, dtype=np.float32) ** 2
    distance = xp.sqrt(axis[:, None, None] + axis[:, None] + axis)
    half_edge = max(edge // 2, math.ulp(1.0))
    phase = xp.clip((distance - np.float32(radius - half_edge)) / np.float32(2 * half_edge), 0, 1)
    return (0.5 + 0.5 * array_module(phase).cos(np.float32(np.pi) * phase)).astype(np.float32)
