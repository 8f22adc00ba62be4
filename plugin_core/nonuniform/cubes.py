"""The part of the box on which each level is searched.

A half-map is zero outside its support, and what a filter or a window carries beyond dies away over
a few wavelengths of the cutoff. So a level needs the support and a margin of so many wavelengths
around it, and the finest levels, which cost most, are searched on the smallest cubes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from plugin_core.backend import Array, to_host

_MARGIN_WAVELENGTHS = 4.0
_MARGIN_VOXELS = 8
"""Distance from the support to its periodic image, in wavelengths of the cutoff and voxels on top.
Over it a Butterworth filter of order 8 rings to 1e-4."""

_NYQUIST_CUTOFF = 0.34
_NYQUIST_MARGIN_VOXELS = 64
"""From this cutoff on, in cycles per voxel, the filter still passes a twentieth at the Nyquist
frequency, where the grid cuts it off: it then rings along the axes as the inverse square of the
distance, and needs this margin."""

_WORTHWHILE = 0.7
"""A smaller cube is taken where it has this fraction of the voxels, or fewer."""


@dataclass(frozen=True)
class Cube:
    """A cube of voxels and the levels that are searched on it.

    Attributes
    ----------
    region : tuple of slice
        Where it lies in the box.
    size : int
        Voxels a side.
    levels : range
    """

    region: tuple[slice, slice, slice]
    size: int
    levels: range


def cubes(maps: list[Array], cutoffs: np.ndarray) -> Iterator[Cube]:
    """Cubes for all levels, coarsest first.

    Parameters
    ----------
    maps : list of (N, N, N)
        Half-maps, zero outside the support.
    cutoffs : (levels,) float64
        In shells, ascending.
    """
    box = maps[0].shape[0]
    occupied = _occupied(maps)
    extent = max(stop - start for start, stop in occupied)
    sizes = _sizes(box, extent, cutoffs)
    first = 0
    for stop in range(1, len(sizes) + 1):
        if stop == len(sizes) or sizes[stop] != sizes[first]:
            size = sizes[first]
            z, y, x = (_around(*axis, size, box) for axis in occupied)
            yield Cube((z, y, x), size, range(first, stop))
            first = stop


def _sizes(box: int, extent: int, cutoffs: np.ndarray) -> list[int]:
    """Voxels a side for each level: of even size, quick to transform, seldom changed."""
    sizes: list[int] = []
    for cutoff in cutoffs:
        half = int(np.ceil((extent + _margin(cutoff / box)) / 2))
        size = min(2 * int(scipy.fft.next_fast_len(half)), box)
        if sizes and _WORTHWHILE * sizes[-1] ** 3 < size**3 <= sizes[-1] ** 3:
            size = sizes[-1]
        sizes.append(size)
    return sizes


def _margin(cutoff: float) -> float:
    """Margin in voxels for a cutoff in cycles per voxel."""
    beyond_nyquist = _NYQUIST_MARGIN_VOXELS if cutoff > _NYQUIST_CUTOFF else _MARGIN_VOXELS
    return _MARGIN_WAVELENGTHS / cutoff + beyond_nyquist


def _occupied(maps: list[Array]) -> list[tuple[int, int]]:
    """First index along z, y and x that is not zero throughout, and the one after the last."""
    filled = maps[0] != 0
    for volume in maps[1:]:
        filled |= volume != 0
    bounds = []
    for axis in range(3):
        across = tuple({0, 1, 2} - {axis})
        found = np.flatnonzero(to_host(filled.any(axis=across)))
        bounds.append((int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(filled)))
    return bounds


def _around(start: int, stop: int, size: int, box: int) -> slice:
    """Slice of `size` voxels about the middle of another, within the box."""
    first = min(max((start + stop - size) // 2, 0), box - size)
    return slice(first, first + size)
