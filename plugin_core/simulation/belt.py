"""A detergent belt around a transmembrane slab, drawn anew for every particle.

The belt fills a rounded elliptical disc about the membrane axis except where the protein is. It
has a dim core (detergent tails) and a brighter rim (head groups). Size, ellipticity, thickness and
offset vary from particle to particle and its pseudo-atoms are never the same twice, so no average
over particles resolves it: the disordered region that a local regulariser should notice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from plugin_core.simulation.projection import Atoms

_ATOMS_PER_CUBIC_ANGSTROM = 0.045  # non-hydrogen atoms in protein, for the scale of the contrast
_ELECTRONS_PER_ATOM = 6.7
_GRID_STEP = 1.0  # Å, of the table that says where the protein is


@dataclass(frozen=True)
class Slab:
    """Where the membrane is: normal (3,), centre (3,) as x, y, z in Å, thickness in Å."""

    axis: NDArray[np.float32]
    centre: NDArray[np.float32]
    thickness: float


@dataclass(frozen=True)
class BeltShape:
    """Means and standard deviations over particles, in Å; contrasts relative to protein."""

    width: float = 17.0
    width_sd: float = 3.0
    half_thickness: float = 18.0
    half_thickness_sd: float = 2.0
    ellipticity_sd: float = 0.10
    offset_sd: float = 3.0
    rim_contrast: float = 0.9
    core_contrast: float = 0.3
    rim_start: float = 0.8
    clearance: float = 3.0
    b_factor: float = 150.0
    volume_per_atom: float = 40.0


class BeltMaker:
    """Draws belts for one protein.

    Parameters
    ----------
    protein
        The atoms the belt leaves room for.
    slab
        The membrane; the belt is centred on the atoms inside it.
    shape
        Distribution of the belts.
    """

    def __init__(self, protein: Atoms, slab: Slab, shape: BeltShape) -> None:
        self._shape = shape
        self._frame = _frame(np.asarray(slab.axis, dtype=np.float64))
        centre = np.asarray(slab.centre, dtype=np.float64)
        local = (protein.coordinates - centre) @ self._frame.T
        inside = local[np.abs(local[:, 2]) < slab.thickness / 2]
        if len(inside) < 3:
            raise ValueError("the transmembrane slab holds no atoms; check its axis and centre")
        in_plane_centre = np.append(inside[:, :2].mean(axis=0), 0.0)
        self._centre = centre + in_plane_centre @ self._frame
        radii = np.linalg.norm(inside[:, :2] - in_plane_centre[:2], axis=1)
        self._protein_radius = float(np.percentile(radii, 90))
        self._reach = self._largest_extent()
        self._free = self._tabulate_free_space(protein)

    @property
    def typical_radius(self) -> float:
        """Outer radius in Å of a belt of mean width."""
        return self._protein_radius + self._shape.width

    @property
    def reach_from_origin(self) -> float:
        """Distance in Å from the coordinates' origin that a belt of mean size does not exceed."""
        to_rim = np.hypot(self.typical_radius, self._shape.half_thickness)
        return float(np.linalg.norm(self._centre) + to_rim)

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return the pseudo-atoms of one belt, in the frame of the protein's coordinates."""
        shape = self._shape
        radius = self._protein_radius + rng.normal(shape.width, shape.width_sd)
        stretch = np.exp(rng.normal(0.0, shape.ellipticity_sd))
        turn = rng.uniform(0.0, np.pi)
        half_thickness = rng.normal(shape.half_thickness, shape.half_thickness_sd)
        offset = rng.normal(0.0, shape.offset_sd, 3) * (1.0, 1.0, 0.3)

        count = int(8.0 * self._reach.prod() / shape.volume_per_atom)
        points = rng.uniform(-self._reach, self._reach, (count, 3))
        points = points[self._free[tuple(((points + self._reach) / _GRID_STEP).astype(int).T)]]
        points -= offset
        u = np.cos(turn) * points[:, 0] + np.sin(turn) * points[:, 1]
        v = np.cos(turn) * points[:, 1] - np.sin(turn) * points[:, 0]
        outwards = np.hypot(u / (radius * stretch), v * stretch / radius)
        level = (outwards**4 + (points[:, 2] / half_thickness) ** 4) ** 0.25
        keep = level < 1.0
        contrast = np.where(level[keep] > shape.rim_start, shape.rim_contrast, shape.core_contrast)
        coordinates = (points[keep] + offset) @ self._frame + self._centre
        return Atoms(
            coordinates.astype(np.float32),
            (contrast * self._electrons_per_point).astype(np.float32),
            np.full(len(coordinates), shape.b_factor, dtype=np.float32),
        )

    @property
    def _electrons_per_point(self) -> float:
        return self._shape.volume_per_atom * _ATOMS_PER_CUBIC_ANGSTROM * _ELECTRONS_PER_ATOM

    def _largest_extent(self) -> NDArray[np.float64]:
        """Half the sides, along the membrane's frame, of a box that holds all but freak belts."""
        shape = self._shape
        radius = self.typical_radius + 3.0 * shape.width_sd + 3.0 * shape.offset_sd
        radius *= np.exp(2.0 * shape.ellipticity_sd)
        height = shape.half_thickness + 3.0 * shape.half_thickness_sd + shape.offset_sd
        return np.ceil([radius, radius, height])

    def _tabulate_free_space(self, protein: Atoms) -> NDArray[np.bool_]:
        """Which cells of a grid over that box lie clear of the protein."""
        axes = [np.arange(-reach, reach, _GRID_STEP) + _GRID_STEP / 2 for reach in self._reach]
        cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        local = (protein.coordinates - self._centre) @ self._frame.T
        distance, _ = cKDTree(local).query(cells, distance_upper_bound=self._shape.clearance)
        return np.isinf(distance)


def _frame(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows: two directions in the membrane plane and its normal."""
    normal = axis / np.linalg.norm(axis)
    across = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(normal, across), normal])
