"""What RELION's weight array says: its radial means, the prior added to it, its floor.

Everything here depends on the squared padded radius only, so one pass over the weights, summed
per squared radius, serves the check of the values, the noise estimate and the floor of every map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module, in_threads
from plugin_core.padded_grid import PaddedGrid

_FLOOR_FRACTION = 1e-3
"""Weights below this fraction of their shell mean are raised to it."""

_SMALL_TAU2_FACTOR = 1e-3
"""Where tau2 is zero, RELION adds 1 / (this x weight) instead of 1 / (p^3 T tau2)."""

_NO_WEIGHT = 1e-20
"""Weights up to this count as unmeasured."""


@dataclass(frozen=True)
class Prior:
    """RELION's spectral prior.

    Attributes
    ----------
    tau2 : (N // 2 + 1,) float64
        Signal power per shell, as RELION's STAR file gives it.
    tau2_fudge : float
        RELION's T.
    min_shell : int
        Shells below are left unregularised: 5 inside RELION, -1 in relion_external_reconstruct.
    """

    tau2: np.ndarray
    tau2_fudge: float
    min_shell: int


@dataclass(frozen=True)
class RadialWeights:
    """Sums of the weights over all voxels of one squared padded radius, for each such radius.

    Attributes
    ----------
    grid : PaddedGrid
    sums, inverse_sums : (R^2,) float64
        Sum of the weights, and of their inverses where there is a weight.
    counts : (R^2,) float64
        Number of voxels of the half-complex grid.
    """

    grid: PaddedGrid
    sums: np.ndarray
    inverse_sums: np.ndarray
    counts: np.ndarray

    @cached_property
    def radius(self) -> np.ndarray:
        """Radius in shells of every squared padded radius."""
        return np.sqrt(np.arange(self.grid.radius**2)) / self.grid.padding

    def shell_means(self) -> np.ndarray:
        """Mean weight of the padded voxels of each shell (rounded half up).

        Returns
        -------
        (max_shell + 1,) float64
        """
        shells = np.floor(self.radius + 0.5).astype(np.int64)
        size = self.grid.max_shell + 1
        sums = np.bincount(shells, weights=self.sums, minlength=size)[:size]
        counts = np.bincount(shells, weights=self.counts, minlength=size)[:size]
        return sums / np.maximum(counts, 1)

    def prior_term(self, prior: Prior | None) -> tuple[np.ndarray, np.ndarray]:
        """What the prior adds to the weights at each squared radius.

        Returns
        -------
        constant, inverse : (R^2,) float64
            The prior adds ``constant + inverse / weight`` (the second only where tau2 is zero).
        """
        constant, inverse = np.zeros_like(self.sums), np.zeros_like(self.sums)
        if prior is None:
            return constant, inverse
        shells = np.floor(self.radius + 0.5).astype(np.int64)
        regularised = shells >= prior.min_shell
        tau2 = np.asarray(prior.tau2, dtype=np.float64)[shells]
        known = regularised & (tau2 > 0)
        constant[known] = 1 / (self.grid.padding**3 * prior.tau2_fudge * tau2[known])
        inverse[regularised & (tau2 <= 0)] = 1 / _SMALL_TAU2_FACTOR
        return constant, inverse

    def floor(self, prior: Prior | None) -> np.ndarray:
        """Smallest divisor allowed at each squared radius: (R^2,) float64.

        A thousandth of the mean, prior included, over shells rounded *down*.
        """
        constant, inverse = self.prior_term(prior)
        sums = self.sums + constant * self.counts + inverse * self.inverse_sums
        shells = np.minimum(self.radius.astype(np.int64), self.grid.max_shell - 1)
        totals = np.bincount(shells, weights=sums)
        counts = np.bincount(shells, weights=self.counts)
        return (_FLOOR_FRACTION * totals / np.maximum(counts, 1))[shells]


def radial_weights(weight: Array, grid: PaddedGrid) -> RadialWeights:
    """Read the weights once, check them and sum them per squared radius.

    Parameters
    ----------
    weight : (P, P, P // 2 + 1) float32
        RELION's denominator, memory-mapped or not.

    Raises
    ------
    ValueError
        If the weights hold NaN, infinite or negative values, or are zero throughout.
    """
    sums, inverse_sums, counts = np.sum(
        in_threads(partial(_sum_planes, weight, grid), range(grid.radius)), axis=0
    )[:, : grid.radius**2]
    if not sums.any():
        raise ValueError("the weights are zero everywhere: no particle contributed")
    return RadialWeights(grid, sums, inverse_sums, counts)


def _sum_planes(weight: Array, grid: PaddedGrid, planes: list[int]) -> np.ndarray:
    """Sums of weights and of their inverses, and counts, over planes z and -z: (3, 3 R^2) float64.

    The rows y and -y, and the planes z and -z, are first added up, since they share their radii.
    """
    edge = grid.radius
    axis2 = np.arange(edge) ** 2
    plane2 = (axis2[:, None] + axis2).ravel()
    times = np.repeat([1.0, 2.0], [edge, edge * (edge - 1)])  # y = 0 occurs once
    totals = np.zeros((3, 3 * edge**2))
    for z in planes:
        rows = [z] if z == 0 else [z, 2 * edge - 1 - z]
        values = np.concatenate([grid.read(weight, slice(row, row + 1)) for row in rows])
        _check_weights(values)
        inverse = np.zeros_like(values)
        np.divide(1, values, out=inverse, where=values > _NO_WEIGHT)
        here = totals[:, z**2 : z**2 + plane2[-1] + 1]
        here[0] += np.bincount(plane2, weights=_folded(values, edge))
        here[1] += np.bincount(plane2, weights=_folded(inverse, edge))
        here[2] += np.bincount(plane2, weights=len(rows) * times)
    return totals


def _folded(planes: np.ndarray, edge: int) -> np.ndarray:
    """Sum over the planes, and over rows y and -y of each, which come in this order: float64."""
    total = planes.sum(axis=0, dtype=np.float64)
    total[1:edge] += total[: edge - 1 : -1]
    return total[:edge].ravel()


class Divisor:
    """What the data are divided by: the weights with the prior added, raised to their floor.

    Parameters
    ----------
    radial : RadialWeights
    prior : Prior or None
    xp : module
        numpy or cupy: where the weights lie.
    """

    def __init__(self, radial: RadialWeights, prior: Prior | None, xp: ModuleType = np) -> None:
        constant, inverse = radial.prior_term(prior)
        floor = radial.floor(prior)
        # Where nothing was measured the data are zero too: any divisor but zero will do.
        floor[floor == 0] = np.inf
        self._constant = radial_table(constant, 0, xp) if constant.any() else None
        self._inverse = radial_table(inverse, 0, xp) if inverse.any() else None
        self._floor = radial_table(floor, np.inf, xp)

    def regularised(self, weight: Array, radius2: Array) -> Array:
        """Return the weights with the prior added.

        Parameters
        ----------
        weight : float32
            Any part of the weight array.
        radius2 : int, same shape
            Squared padded radius of each of its voxels.
        """
        xp = array_module(weight)
        result = weight
        if self._constant is not None:
            result = result + xp.take(self._constant, radius2)
        if self._inverse is not None:
            term = xp.take(self._inverse, radius2) / xp.maximum(weight, np.float32(_NO_WEIGHT))
            result = result + xp.where(weight > _NO_WEIGHT, term, np.float32(0))
        return result

    def __call__(self, weight: Array, radius2: Array) -> Array:
        """Return the divisors; infinite where `radius2` is R^2 or more, or nothing was measured."""
        floor = array_module(weight).take(self._floor, radius2)
        return array_module(weight).maximum(self.regularised(weight, radius2), floor)


def radial_table(values: np.ndarray, beyond: float, xp: ModuleType) -> Array:
    """Values for squared radii below R^2, continued with `beyond` to the corners of the cube."""
    table = np.full(3 * len(values), beyond, dtype=np.float32)
    table[: len(values)] = values
    return xp.asarray(table)


def _check_weights(values: np.ndarray) -> None:
    smallest, largest = float(values.min()), float(values.max())
    if not np.isfinite([smallest, largest]).all():
        raise ValueError("the weights hold values that are not finite")
    if smallest < 0:
        raise ValueError(f"the weights hold negative values, down to {smallest:.4g}")
