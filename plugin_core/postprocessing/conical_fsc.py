"""FSC by direction: in double cones about many directions (Tan et al., Nat. Methods 2017).

A voxel is in many cones, so no cone is summed voxel by voxel. One pass over the transforms sums
them in small cells of direction and shell; a cone is then a sum of cells, and all cones of all
shells are one sparse matrix product. The pass, three histograms of N³ / 2 voxels, costs the same
for any number of directions; the product adds 3 (N / 2 + 1) x 1250 multiplications for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module, to_host
from plugin_core.fourier import rfftn, shell_to_angstrom
from plugin_core.fsc import last_shell_above
from plugin_core.postprocessing.directions import HalfSphereGrid, fibonacci_half_sphere

CELL_DEGREES = 1.0
"""Spacing of the cells: to half of it, a cone's edge is not where it should be."""

FEWEST_VOXELS = 10
"""Independent voxels without which a cone's FSC is mostly chance: the shells next to the origin."""


@dataclass(frozen=True)
class ConicalFsc:
    """FSC curves of D double cones.

    Attributes
    ----------
    directions : (D, 3) float64
        Axes of the cones: unit vectors (x, y, z) in Fourier space, z > 0.
    whole : (N // 2 + 1,) float64
        FSC of whole shells.
    curves : (D, N // 2 + 1) float64
        FSC by direction and shell. In the shells next to the origin, of which a cone holds fewer
        than ten independent voxels, it is that of the whole shell.
    resolution_angstrom : (D,) float64
        Of the last shell before a curve first drops below 0.143; infinite if there is none.
    """

    directions: np.ndarray
    whole: np.ndarray
    curves: np.ndarray
    resolution_angstrom: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Area under each curve, as its mean from shell 1 to the resolution: (D,) float64.

        The resolution is that of the whole shells at FSC 0.143, the same for all directions:
        noise beyond it adds nothing, and within it averages out.
        """
        last = last_shell_above(self.whole)
        return self.curves[:, 1 : last + 1].mean(axis=1) if last else np.zeros(len(self.curves))

    @property
    def area_ratio(self) -> float:
        """Least over greatest area: 1 for an isotropic map, about 0 if a direction has no signal.

        Made after cryoSPARC's conical FSC area ratio (cFAR), for which below 0.5 means
        preferred orientation. We know of no document that says how cryoSPARC bounds the area,
        so the two need not agree in figures. NaN if the maps have no signal in common.
        """
        areas = self.areas
        return float(areas.min() / areas.max()) if areas.max() > 0 else float("nan")


def conical_fsc(
    map1: Array, map2: Array, voxel_size: float, count: int = 300, half_angle: float = 20.0
) -> ConicalFsc:
    """Compute the FSC in double cones about evenly spread directions.

    Parameters
    ----------
    map1, map2 : (N, N, N) float32
        Half-maps, in the same soft mask: solvent noise lowers every curve.
    voxel_size : float
        In Å.
    count : int
        Number of directions.
    half_angle : float
        Between a cone's axis and its surface, in degrees.

    Raises
    ------
    ValueError
        If the maps differ in shape.
    """
    from scipy.sparse import csr_array

    if map1.shape != map2.shape:
        raise ValueError(f"the two maps differ in shape: {map1.shape} and {map2.shape}")
    box = map1.shape[0]
    directions = fibonacci_half_sphere(count)
    grid = HalfSphereGrid(CELL_DEGREES)
    cells = _cell_sums(map1, map2, grid)
    in_cone = abs(grid.centres @ directions.T) >= np.cos(np.radians(half_angle))
    # Sparse: a narrow cone holds few cells, and BLAS is slow to start on a busy machine.
    sums = cells.reshape(-1, cells.shape[2]) @ csr_array(in_cone, dtype=np.float64)
    cones = _correlation(*sums.reshape(3, -1, count))
    whole = _correlation(*cells.sum(axis=2))
    cones[: _first_filled_shell(half_angle)] = whole[: _first_filled_shell(half_angle), None]
    resolution = [shell_to_angstrom(last_shell_above(c), box, voxel_size) for c in cones.T]
    return ConicalFsc(directions, whole, cones.T, np.array(resolution))


def _first_filled_shell(half_angle: float) -> int:
    """First shell of which a double cone holds enough independent voxels, half of all it holds."""
    solid_angle = 2 * np.pi * (1 - np.cos(np.radians(half_angle)))
    return int(np.ceil(np.sqrt(FEWEST_VOXELS / solid_angle)))


def _correlation(cross: np.ndarray, power1: np.ndarray, power2: np.ndarray) -> np.ndarray:
    """FSC from its three sums; 0 where there is no power."""
    norm = np.sqrt(power1 * power2)
    return np.divide(cross, norm, out=np.zeros_like(norm), where=norm > 0)


def _cell_sums(map1: Array, map2: Array, grid: HalfSphereGrid) -> np.ndarray:
    """Cross term and both powers by shell and cell: (3, N // 2 + 1, cells) float64.

    Slab by slab, which keeps what lies between small.
    """
    xp = array_module(map1)
    box, cells = map1.shape[0], len(grid.centres)
    shells = box // 2 + 1
    transform1, transform2 = rfftn(map1), rfftn(map2)
    index = xp.fft.fftfreq(box, 1 / box).round().astype(np.float32)
    x = xp.arange(shells, dtype=np.float32)
    friedel = xp.full(shells, 2, dtype=np.float32)
    friedel[0] = 1
    if box % 2 == 0:
        friedel[-1] = 1
    sums = xp.zeros((3, shells * cells))
    for rows in _slabs(box):
        z, y = index[rows, None, None], index[:, None]
        shell = xp.floor(xp.sqrt(x**2 + y**2 + z**2) + 0.5).astype(np.int64)
        inside = shell < shells
        bins = (shell * cells + grid.cell_of(x, y, z))[inside]
        weight = xp.broadcast_to(friedel, shell.shape)[inside]
        part1, part2 = transform1[rows][inside], transform2[rows][inside]
        for total, values in zip(
            sums,
            ((part1 * part2.conj()).real, abs(part1) ** 2, abs(part2) ** 2),
            strict=True,
        ):
            total += xp.bincount(bins, values * weight, minlength=len(total))
    return to_host(sums).reshape(3, shells, cells)


def _slabs(box: int) -> list[slice]:
    """Slabs of planes of some four million voxels."""
    planes = max(1, 4_000_000 // (box * (box // 2 + 1)))
    return [slice(first, first + planes) for first in range(0, box, planes)]
