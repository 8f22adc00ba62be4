"""From RELION's accumulated data and weights to a map, as RELION's own M-step does it.

Written from the facts of the hook's protocol, which were checked against RELION 3.1.3 and 5.0.1:
numerator D and denominator W lie on a padded half-complex grid (:mod:`plugin_core.padded_grid`);
the raw map is D / W, the Wiener-filtered one D / (W + 1 / (p^3 T tau2)) (Scheres, J. Struct. Biol.
2012), with W raised to its floor (:mod:`plugin_core.weights`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.gridding import gridding_weights
from plugin_core.masks import soft_sphere, squared_distance
from plugin_core.padded_grid import PaddedGrid
from plugin_core.weights import Prior, RadialWeights, divisor, regularised_weight


@dataclass(frozen=True)
class Accumulators:
    """RELION's three arrays of one call, each (P, P, P // 2 + 1) float32, memory-mapped or not."""

    data_real: Array
    data_imag: Array
    weight: Array


def reconstruct(
    arrays: Accumulators,
    radial: RadialWeights,
    prior: Prior | None,
    *,
    gridding: bool = False,
    data_dimension: int = 2,
    xp: ModuleType = np,
) -> Array:
    """Reconstruct one map.

    Parameters
    ----------
    arrays : Accumulators
    radial : RadialWeights
        From :func:`plugin_core.weights.radial_weights` of the same weights.
    prior : Prior or None
        None gives the raw map, without regularisation.
    gridding : bool
        Ten iterations of gridding weights instead of the plain division (RELION 3.1's default,
        and relion_external_reconstruct's).
    data_dimension : int
        2 for images, 3 for sub-tomograms, whose transforms RELION scales differently.
    xp : module
        numpy or cupy: where the map is made and left.

    Returns
    -------
    (N, N, N) float32
        Origin at N // 2; outside the sphere of radius N / 2 it holds the mean found there.

    Raises
    ------
    ValueError
        If the data hold values that are not finite.
    """
    grid = radial.grid
    if gridding:
        quotient = _gridded(arrays, radial, prior, xp)
    else:
        quotient = divided(arrays, grid, partial(divisor, radial=radial, prior=prior), xp)
    volume = grid.inverse(quotient)
    volume *= np.float32(float(grid.box) ** data_dimension)
    _fill_outside_sphere(volume)
    correct_interpolation(volume, grid)
    return volume


def divided(
    arrays: Accumulators,
    grid: PaddedGrid,
    divide_by: Callable[[Array, Array], Array],
    xp: ModuleType,
) -> Callable[[slice], Array]:
    """Data over weights, for :meth:`PaddedGrid.inverse`.

    Parameters
    ----------
    divide_by : callable
        Given weights and their squared padded radii, returns what the data are divided by.
    """

    def block(rows: slice) -> Array:
        radius2 = xp.asarray(grid.squared_radius(rows))
        outside = radius2 >= grid.radius**2
        radius2[outside] = 0
        below = divide_by(xp.asarray(grid.read(arrays.weight, rows)), radius2)
        # Where nothing was measured the data are zero too: any divisor but zero will do.
        below[outside | (below == 0)] = np.inf
        return _read_data(arrays, grid, rows, xp) / below

    return block


def _gridded(
    arrays: Accumulators, radial: RadialWeights, prior: Prior | None, xp: ModuleType
) -> Callable[[slice], Array]:
    grid = radial.grid
    edge = grid.radius
    n = 2 * (edge + 1) + 1
    rows_of = np.concatenate([np.arange(edge), np.arange(n - edge + 1, n)])
    weight = np.zeros((n, n, n // 2 + 1))
    for rows in grid.blocks():
        radius2 = grid.squared_radius(rows)
        inside = radius2 < edge**2
        radius2[~inside] = 0
        part = regularised_weight(grid.read(arrays.weight, rows), radius2, radial, prior)
        weight[np.ix_(rows_of[rows], rows_of, np.arange(edge))] = part * inside
    multiplier = gridding_weights(weight, edge, grid.box * grid.padding)

    def block(rows: slice) -> Array:
        part = multiplier[np.ix_(rows_of[rows], rows_of, np.arange(edge))]
        return _read_data(arrays, grid, rows, xp) * xp.asarray(part, dtype=np.float32)

    return block


def _read_data(arrays: Accumulators, grid: PaddedGrid, rows: slice, xp: ModuleType) -> Array:
    data = np.empty((rows.stop - rows.start, 2 * grid.radius - 1, grid.radius), np.complex64)
    data.real = grid.read(arrays.data_real, rows)
    data.imag = grid.read(arrays.data_imag, rows)
    if not np.isfinite(data.sum(dtype=np.complex128)):
        raise ValueError("the data hold values that are not finite")
    return xp.asarray(data)


def _fill_outside_sphere(volume: Array) -> None:
    """Replace what lies outside the sphere of radius N / 2 by its mean, with a 3-voxel edge."""
    xp = array_module(volume)
    box = volume.shape[0]
    sphere = soft_sphere(box, box / 2, 3.0, xp)
    outside = 1 - sphere
    background = float((outside * volume).sum(dtype=np.float64) / outside.sum(dtype=np.float64))
    volume *= sphere
    volume += outside * np.float32(background)


def correct_interpolation(volume: Array, grid: PaddedGrid) -> None:
    """Undo the fall-off that trilinear insertion on the padded grid leaves in the map."""
    xp = array_module(volume)
    distance = xp.sqrt(squared_distance(grid.box, xp))
    volume /= xp.sinc(distance / np.float32(grid.box * grid.padding)) ** 2
