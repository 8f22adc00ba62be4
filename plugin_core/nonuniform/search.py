"""The search for the cutoff of least risk at every voxel.

Smoothing each level's risk density with its own window and comparing the results directly is
biased: the wide windows of coarse levels average in quiet solvent, so they win near the particle
although they are wrong there. Two levels may only be compared over one window. So the *difference*
between neighbouring levels is smoothed with the window of the finer, and the differences are
summed from the coarsest level on: E_j = sum over i <= j of w_i * (e_i - e_{i-1}).

A level costs as many transforms as it has maps, and two for its window. They are limited to the
frequencies that the filter and the window pass (:mod:`plugin_core.planes`), and to the part of the
box that the level can tell from zero (:mod:`plugin_core.nonuniform.cubes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from plugin_core.backend import Array, array_module, copy_where, for_slabs
from plugin_core.fourier import butterworth, radii, rfftn
from plugin_core.nonuniform.cubes import Cube, cubes
from plugin_core.nonuniform.levels import filter_limit, window_gain, window_limit
from plugin_core.nonuniform.risks import Risk
from plugin_core.planes import Planes


@dataclass(frozen=True)
class SearchResult:
    """The chosen filter at every voxel.

    Attributes
    ----------
    level : (N, N, N) uint8 or uint16
        Index of the cutoff of least risk.
    value : (N, N, N) float32
        The half-map filtered at that cutoff, there.
    """

    level: Array
    value: Array


def search(
    risk: Risk,
    cutoffs: np.ndarray,
    *,
    order: int,
    awf: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SearchResult:
    """Choose at every voxel the cutoff of least windowed risk.

    Parameters
    ----------
    risk : Risk
    cutoffs : (levels,) float64
        Butterworth cutoffs in shells, coarsest first.
    order : int
        Butterworth order.
    awf : float
        Adaptive window factor (:func:`plugin_core.nonuniform.levels.window_sigma`).
    progress : callable
        Told after each level how many of how many are done.
    """
    best = _Best(risk.maps[0], len(cutoffs))
    for cube in cubes(risk.maps, cutoffs):
        part = None  # frees the memory of the cube before
        part = _CubeSearch(risk, cube, cutoffs, order, awf)
        for index in cube.levels:
            if index == 0:
                best.start(cube, part.filtered)
            else:
                part.advance(index)
                for_slabs(part.filtered, partial(best.compare, index, cube, part))
            progress(index + 1, len(cutoffs))
    return SearchResult(best.level, best.value)


class _CubeSearch:
    """Filtered maps and smoothed differences of the risk, level by level, within one cube.

    A shell of the box lies at `size` / N times its number in the smaller cube.
    """

    def __init__(self, risk: Risk, cube: Cube, cutoffs: np.ndarray, order: int, awf: float) -> None:
        self._risk = risk.within(cube.region)
        box = risk.maps[0].shape[0]
        self._cutoffs, self._order, self._awf = cutoffs * (cube.size / box), order, awf
        self._transforms = [rfftn(volume) for volume in self._risk.maps]
        xp = array_module(self._transforms[0])
        memory = [xp.empty_like(transform) for transform in self._transforms]
        self._planes = [Planes(each) for each in memory]
        # The difference of the risk takes the place of the first map, plane by plane.
        self._rise = Planes(memory[0])
        self._filtered = [xp.empty((cube.size,) * 3, np.float32) for _ in memory]
        self._filter(max(cube.levels[0] - 1, 0))
        for_slabs(self.filtered, self._take)

    @property
    def filtered(self) -> Array:
        """The half-map to be regularised, filtered at the present level."""
        return self._filtered[0]

    def advance(self, index: int) -> None:
        """Go on to level `index`, one finer than the present."""
        cutoff, box = self._cutoffs[index], self.filtered.shape[0]
        self._filter(index)
        self._rise.set_limit(window_limit(box, cutoff, self._awf))
        for_slabs(self.filtered, partial(self._differ, index))
        self._rise.convolve(*window_gain(box, cutoff, self._awf))

    def rise(self, z: slice) -> Array:
        """By how much the risk at planes `z` is higher than at the level before."""
        return self._rise.read(z)

    def _filter(self, index: int) -> None:
        cutoff, box = self._cutoffs[index], self.filtered.shape[0]
        gain = butterworth(radii(box), cutoff, self._order)
        for planes, transform in zip(self._planes, self._transforms, strict=True):
            planes.set_limit(filter_limit(box, cutoff, self._order))
            planes.fill(transform, gain)

    def _take(self, z: slice) -> None:
        for filtered, planes in zip(self._filtered, self._planes, strict=True):
            filtered[z] = planes.read(z)

    def _differ(self, index: int, z: slice) -> None:
        current = [planes.read(z) for planes in self._planes]
        previous = [filtered[z] for filtered in self._filtered]
        self._rise.write(z, self._risk.difference(index, z, current, previous))
        for old, new in zip(previous, current, strict=True):
            old[:] = new


class _Best:
    """The level of least risk so far at every voxel; it starts with level 0."""

    def __init__(self, half_map: Array, levels: int) -> None:
        xp = array_module(half_map)
        self.value = xp.zeros_like(half_map)
        self.level = xp.zeros(half_map.shape, dtype=np.min_scalar_type(levels))
        self._risk = xp.zeros_like(half_map)
        self._least = xp.zeros_like(half_map)

    def start(self, cube: Cube, value: Array) -> None:
        """Take level 0."""
        self.value[cube.region] = value

    def compare(self, index: int, cube: Cube, part: _CubeSearch, z: slice) -> None:
        """Take level `index` at the planes `z` of the cube where its risk is the least."""
        xp = array_module(self.value)
        value, level, risk, least = (
            whole[cube.region][z] for whole in (self.value, self.level, self._risk, self._least)
        )
        risk += part.rise(z)
        better = risk < least
        xp.minimum(least, risk, out=least)
        copy_where(value, part.filtered[z], better)
        # Levels come in ascending order, so the last one that was better is the greatest.
        xp.maximum(level, better * level.dtype.type(index), out=level)
