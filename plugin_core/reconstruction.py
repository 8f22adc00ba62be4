"""From RELION's accumulated data and weights to a map, as RELION's own M-step does it.

Written from the facts of the hook's protocol, which were checked against RELION 3.1.3 and 5.0.1:
numerator D and denominator W lie on a padded half-complex grid (:mod:`plugin_core.padded_grid`);
the raw map is D / W, the Wiener-filtered one D / (W + 1 / (p^3 T tau2)) (Scheres, J. Struct. Biol.
2012), with W raised to its floor (:mod:`plugin_core.weights`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module, for_slabs
from plugin_core.gridding import gridding_weights
from plugin_core.masks import soft_sphere, squared_distance
from plugin_core.padded_grid import PaddedGrid
from plugin_core.weights import Divisor, Prior, RadialWeights


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
        volume = _gridded(arrays, radial, prior, xp)
    else:
        volume = divided(arrays, grid, Divisor(radial, prior, xp), xp)
    volume *= np.float32(float(grid.box) ** data_dimension)
    _fill_outside_sphere(volume)
    correct_interpolation(volume, grid)
    return volume


def divided(
    arrays: Accumulators,
    grid: PaddedGrid,
    divide_by: Callable[[Array, Array], Array],
    xp: ModuleType,
) -> Array:
    """Inverse transform of the data over weights: (N, N, N) float32, see `PaddedGrid.inverse`.

    Parameters
    ----------
    divide_by : callable
        Given weights and their squared padded radii, which go up to the corners of the cube of
        side 2R - 1, returns what the data are divided by: infinite where they are to be left out.
    """

    def load(rows: slice) -> list[np.ndarray]:
        return [grid.read(arrays.weight, rows), *_read_data(arrays, grid, rows)]

    def transform(rows: slice, loaded: list[np.ndarray]) -> Array:
        weight, real, imag = (xp.asarray(part) for part in loaded)
        gain = 1 / divide_by(weight, grid.squared_radius(rows, xp))
        return _complex(real, imag, gain)

    return grid.inverse(load, transform, xp)


def _gridded(
    arrays: Accumulators, radial: RadialWeights, prior: Prior | None, xp: ModuleType
) -> Array:
    grid = radial.grid
    divisor = Divisor(radial, prior)
    edge = grid.radius
    n = 2 * (edge + 1) + 1
    rows_of = np.concatenate([np.arange(edge), np.arange(n - edge + 1, n)])
    weight = np.zeros((n, n, n // 2 + 1))
    for rows in grid.blocks():
        radius2 = grid.squared_radius(rows)
        part = divisor.regularised(grid.read(arrays.weight, rows), radius2)
        part[radius2 >= edge**2] = 0
        weight[np.ix_(rows_of[rows], rows_of, np.arange(edge))] = part
    multiplier = gridding_weights(weight, edge, grid.box * grid.padding)

    def load(rows: slice) -> list[np.ndarray]:
        part = multiplier[np.ix_(rows_of[rows], rows_of, np.arange(edge))].astype(np.float32)
        return [part, *_read_data(arrays, grid, rows)]

    def transform(rows: slice, loaded: list[np.ndarray]) -> Array:
        gain, real, imag = (xp.asarray(part) for part in loaded)
        return _complex(real, imag, gain)

    return grid.inverse(load, transform, xp)


def _read_data(arrays: Accumulators, grid: PaddedGrid, rows: slice) -> list[np.ndarray]:
    data = [grid.read(part, rows) for part in (arrays.data_real, arrays.data_imag)]
    if not all(np.isfinite([part.min(), part.max()]).all() for part in data):
        raise ValueError("the data hold values that are not finite")
    return data


def _complex(real: Array, imag: Array, gain: Array) -> Array:
    """Return (real + i imag) times a gain, complex64."""
    xp = array_module(gain)
    result = xp.empty(gain.shape, dtype=np.complex64)
    xp.multiply(real, gain, out=result.real)
    xp.multiply(imag, gain, out=result.imag)
    return result


def _fill_outside_sphere(volume: Array) -> None:
    """Replace what lies outside the sphere of radius N / 2 by its mean, with a 3-voxel edge."""
    xp = array_module(volume)
    box = volume.shape[0]
    sphere = soft_sphere(box, box / 2, 3.0, xp)
    sums = xp.empty((2, box), dtype=np.float64)  # over each plane: of the map outside, of ones

    def add_up(z: slice) -> None:
        outside = 1 - sphere[z]
        outside.sum(axis=(1, 2), dtype=np.float64, out=sums[1, z])
        outside *= volume[z]
        outside.sum(axis=(1, 2), dtype=np.float64, out=sums[0, z])

    for_slabs(volume, add_up)
    total, count = (float(each) for each in sums.sum(axis=1))
    background = np.float32(total / count)

    def fill(z: slice) -> None:
        # sphere x volume + (1 - sphere) x background
        volume[z] -= background
        volume[z] *= sphere[z]
        volume[z] += background

    for_slabs(volume, fill)


def correct_interpolation(volume: Array, grid: PaddedGrid) -> None:
    """Undo the fall-off that trilinear insertion on the padded grid leaves in the map."""
    xp = array_module(volume)

    def divide(z: slice) -> None:
        distance = xp.sqrt(squared_distance(grid.box, xp, z))
        volume[z] /= xp.sinc(distance / np.float32(grid.box * grid.padding)) ** 2

    for_slabs(volume, divide)
