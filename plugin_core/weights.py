"""What RELION's weight array says: its radial means, the prior added to it, its floor.

Everything here depends on the squared padded radius only, so one pass over the weights, summed
per squared radius, serves the check of the values, the noise estimate and the floor of every map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plugin_core.backend import Array, array_module
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
    counts, positive_counts : (R^2,) float64
        Number of voxels of the half-complex grid, and of those that have a weight.
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
    size = grid.radius**2
    sums, inverse_sums, counts = np.zeros(size), np.zeros(size), np.zeros(size)
    for rows in grid.blocks():
        values = grid.read(weight, rows).ravel()
        _check_weights(values)
        radius2 = grid.squared_radius(rows).ravel()
        inside = radius2 < size
        values, radius2 = values[inside], radius2[inside]
        sums += np.bincount(radius2, weights=values, minlength=size)
        counts += np.bincount(radius2, minlength=size)
        positive = values > _NO_WEIGHT
        inverse_sums += np.bincount(
            radius2[positive], weights=1 / values[positive].astype(np.float64), minlength=size
        )
    if not sums.any():
        raise ValueError("the weights are zero everywhere: no particle contributed")
    return RadialWeights(grid, sums, inverse_sums, counts)


def regularised_weight(
    weight: Array, radius2: Array, radial: RadialWeights, prior: Prior | None
) -> Array:
    """Return the weights with the prior added.

    Parameters
    ----------
    weight : float32
        Any part of the weight array.
    radius2 : int32, same shape
        Squared padded radius of each of its voxels, all below R^2.
    """
    xp = array_module(weight)
    constant, inverse = radial.prior_term(prior)
    result = weight + xp.asarray(constant, dtype=np.float32)[radius2]
    if inverse.any():
        measured = xp.maximum(weight, np.float32(_NO_WEIGHT))
        term = xp.asarray(inverse, dtype=np.float32)[radius2] / measured
        result += xp.where(weight > _NO_WEIGHT, term, np.float32(0))
    return result


def divisor(weight: Array, radius2: Array, radial: RadialWeights, prior: Prior | None) -> Array:
    """Return what the data are divided by: :func:`regularised_weight` raised to its floor."""
    xp = array_module(weight)
    floor = xp.asarray(radial.floor(prior), dtype=np.float32)
    return xp.maximum(regularised_weight(weight, radius2, radial, prior), floor[radius2])


def _check_weights(values: np.ndarray) -> None:
    smallest = float(values.min())
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise ValueError("the weights hold values that are not finite")
    if smallest < 0:
        raise ValueError(f"the weights hold negative values, down to {smallest:.4g}")
