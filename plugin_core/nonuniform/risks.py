"""Risk densities: how wrong a filtered half-map is at each voxel, judged without the truth.

A risk offers what the search needs of it: `maps`, those to be filtered, the half-map to be
regularised first, and `difference(level, z, current, previous)`, by how much the risk density rises
from one level to the next. Differences, not densities, because only they may be compared after
windows of different widths (:mod:`plugin_core.nonuniform.search`).
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import butterworth, shell_counts

Region = tuple[slice, slice, slice]


class Risk(Protocol):
    """A risk density.

    Attributes
    ----------
    maps : list of (N, N, N) float32
        What is to be filtered, zero outside the support; the half-map to be regularised first.
    """

    maps: list[Array]

    def within(self, region: Region) -> Risk:
        """The same risk in a part of the box, whose maps are views of the whole ones."""

    def difference(
        self, level: int, z: slice, current: list[Array], previous: list[Array]
    ) -> Array:
        """Risk density at `level` minus that at the level before, at the planes `z`.

        `current` and `previous` hold these planes of the maps, filtered at the two levels.
        """


class SplitNoiseRisk:
    """Risk from one half-map and its noise spectrum: virtual quarter-maps in closed form.

    Adding and subtracting one noise field n of the half-map's own noise spectrum makes two maps
    m + n and m - n whose noises are independent. Put into the cross-validation risk of Punjani et
    al., Eqn. 5, the cross terms cancel and |(1 - h) m|^2 + |(1 + h) n|^2 is left; the expectation
    of the second term is known, so nothing is drawn at random and no other half-map is looked at.

    Parameters
    ----------
    half_map : (N, N, N) float32
        Raw half-map times `support`.
    support : (N, N, N) float32
        Soft mask, 0 to 1.
    noise_power : (shells,) float64
        Noise power |rfftn|^2 per Fourier voxel of the half-map before masking.
    cutoffs : (levels,) float64
        Butterworth cutoffs in shells.
    order : int

    Raises
    ------
    ValueError
        If the noise power is not finite.
    """

    def __init__(
        self,
        half_map: Array,
        support: Array,
        noise_power: np.ndarray,
        cutoffs: np.ndarray,
        order: int,
    ) -> None:
        if not np.isfinite(noise_power).all():
            raise ValueError("the noise power is not finite")
        self.maps = [half_map]
        self._support = support
        self._variance = noise_term(noise_power, half_map.shape[0], cutoffs, order)

    def within(self, region: Region) -> SplitNoiseRisk:
        """Return the same risk in a part of the box."""
        part = copy(self)
        part.maps, part._support = [self.maps[0][region]], self._support[region]
        return part

    def difference(
        self, level: int, z: slice, current: list[Array], previous: list[Array]
    ) -> Array:
        """Return the change of the risk density from the level before, at the planes `z`."""
        result = _rise_of_square(current[0], previous[0], self.maps[0][z])
        noise = np.float32(self._variance[level] - self._variance[level - 1]) * self._support[z]
        noise *= self._support[z]
        result += noise
        return result


class CrossHalfRisk:
    """Cross-validation risk of two half-maps (Punjani et al., Eqn. 5, halved).

    Parameters
    ----------
    half_map, partner : (N, N, N) float32
        Raw half-maps times the support; `half_map` is the one to be regularised.
    """

    def __init__(self, half_map: Array, partner: Array) -> None:
        self.maps = [half_map, partner]

    def within(self, region: Region) -> CrossHalfRisk:
        """Return the same risk in a part of the box."""
        return CrossHalfRisk(*(volume[region] for volume in self.maps))

    def difference(
        self, level: int, z: slice, current: list[Array], previous: list[Array]
    ) -> Array:
        """Return the change of the risk density from the level before, at the planes `z`."""
        result = _rise_of_square(current[0], previous[0], self.maps[1][z])
        result += _rise_of_square(current[1], previous[1], self.maps[0][z])
        result *= np.float32(0.5)
        return result


class QuarterRisk:
    """Cross-validation risk of two quarter-maps of one half-set (Punjani et al., Algorithm 2).

    The cutoffs are those that suit a quarter-map, which has twice the half-map's noise power, and
    are applied to the half-map: the other half-set is not looked at.

    Parameters
    ----------
    half_map, quarter1, quarter2 : (N, N, N) float32
        Raw maps of a half-set and of two random halves of it, times the support.
    """

    def __init__(self, half_map: Array, quarter1: Array, quarter2: Array) -> None:
        self.maps = [half_map, quarter1, quarter2]

    def within(self, region: Region) -> QuarterRisk:
        """Return the same risk in a part of the box."""
        return QuarterRisk(*(volume[region] for volume in self.maps))

    def difference(
        self, level: int, z: slice, current: list[Array], previous: list[Array]
    ) -> Array:
        """Return the change of the risk density from the level before, at the planes `z`."""
        quarters = CrossHalfRisk(*self.maps[1:])
        return quarters.difference(level, z, current[1:], previous[1:])


def _rise_of_square(now: Array, before: Array, target: Array) -> Array:
    """Return |now - target|^2 - |before - target|^2, without the rounding of the large squares."""
    result = now + before
    result -= target
    result -= target
    result *= now - before
    return result


def noise_term(noise_power: np.ndarray, box: int, cutoffs: np.ndarray, order: int) -> np.ndarray:
    """Expected |(1 + h) n|^2 per voxel where the support is 1, for each cutoff: (levels,) float64.

    The noise power P per Fourier voxel and Parseval's theorem for the unnormalised transform give
    the sum over the full grid of (1 + h)^2 P / N^6.
    """
    shells = len(noise_power)
    weighted = shell_counts(box, shells) * noise_power / float(box) ** 6
    gains = [butterworth(np.arange(shells), cutoff, order) for cutoff in cutoffs]
    return np.array([np.sum((1 + gain) ** 2 * weighted) for gain in gains])
