"""Risk densities: how wrong a filtered half-map is at each voxel, judged without the truth.

A risk offers what the search needs of it: `filtered(gain)`, the half-maps after one filter of the
bank, the one to be regularised first, and `difference(level, current, previous)`, by how much the
risk density rises from one level to the next. Differences, not densities, because only they may be
compared after windows of different widths (:mod:`plugin_core.nonuniform.search`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from plugin_core.backend import Array, array_module, for_slabs
from plugin_core.fourier import apply_radial, butterworth, irfftn, rfftn, shell_counts


class Risk(Protocol):
    """A risk density on one grid."""

    def filtered(self, gain: np.ndarray) -> list[Array]:
        """Half-maps after a radial gain (see :func:`plugin_core.fourier.apply_radial`)."""

    def difference(self, level: int, current: list[Array], previous: list[Array]) -> Array:
        """Risk density at `level` minus that at the level before: (N, N, N) float32."""


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
    """

    def __init__(
        self,
        half_map: Array,
        support: Array,
        noise_power: np.ndarray,
        cutoffs: np.ndarray,
        order: int,
    ) -> None:
        self._half_map = half_map
        self._transform = rfftn(half_map)
        self._support2 = support**2
        self._variance = noise_term(noise_power, half_map.shape[0], cutoffs, order)

    def filtered(self, gain: np.ndarray) -> list[Array]:
        """Return the filtered half-map."""
        return [irfftn(apply_radial(self._transform, gain), self._half_map.shape[0])]

    def difference(self, level: int, current: list[Array], previous: list[Array]) -> Array:
        """Return the change of the risk density from the level before."""
        (now,), (before,) = current, previous
        rise = np.float32(self._variance[level] - self._variance[level - 1])
        result = array_module(now).empty_like(now)

        def fill(z: slice) -> None:
            rest = 2 * self._half_map[z] - now[z] - before[z]
            result[z] = (before[z] - now[z]) * rest + rise * self._support2[z]

        for_slabs(result, fill)
        return result


class CrossHalfRisk:
    """Cross-validation risk of two half-maps (Punjani et al., Eqn. 5, halved).

    Parameters
    ----------
    half_map, partner : (N, N, N) float32
        Raw half-maps times the support; `half_map` is the one to be regularised.
    """

    def __init__(self, half_map: Array, partner: Array) -> None:
        self._maps = [half_map, partner]
        self._transforms = [rfftn(half_map), rfftn(partner)]

    def filtered(self, gain: np.ndarray) -> list[Array]:
        """Return both half-maps, filtered."""
        box = self._maps[0].shape[0]
        return [irfftn(apply_radial(t, gain), box) for t in self._transforms]

    def difference(self, level: int, current: list[Array], previous: list[Array]) -> Array:
        """Return the change of the risk density from the level before."""
        result = array_module(current[0]).empty_like(current[0])

        def fill(z: slice) -> None:
            terms = [
                (now[z] - before[z]) * (now[z] + before[z] - 2 * other[z])
                for now, before, other in zip(current, previous, self._maps[::-1], strict=True)
            ]
            result[z] = np.float32(0.5) * (terms[0] + terms[1])

        for_slabs(result, fill)
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
        self._box = half_map.shape[0]
        self._transform = rfftn(half_map)
        self._quarters = CrossHalfRisk(quarter1, quarter2)

    def filtered(self, gain: np.ndarray) -> list[Array]:
        """Return the filtered half-map, then the quarter-maps."""
        half_map = irfftn(apply_radial(self._transform, gain), self._box)
        return [half_map, *self._quarters.filtered(gain)]

    def difference(self, level: int, current: list[Array], previous: list[Array]) -> Array:
        """Return the change of the risk density from the level before."""
        return self._quarters.difference(level, current[1:], previous[1:])


def noise_term(noise_power: np.ndarray, box: int, cutoffs: np.ndarray, order: int) -> np.ndarray:
    """Expected |(1 + h) n|^2 per voxel where the support is 1, for each cutoff: (levels,) float64.

    The noise power P per Fourier voxel and Parseval's theorem for the unnormalised transform give
    the sum over the full grid of (1 + h)^2 P / N^6.
    """
    shells = len(noise_power)
    weighted = shell_counts(box, shells) * noise_power / float(box) ** 6
    gains = [butterworth(np.arange(shells), cutoff, order) for cutoff in cutoffs]
    return np.array([np.sum((1 + gain) ** 2 * weighted) for gain in gains])
