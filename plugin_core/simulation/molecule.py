"""An atomic model as arrays, and its scattering density on a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_OVERSAMPLING = 1.5
_GRIDDING_B = 60.0  # Å² at a voxel of 1.5 Å; with the oversampling, aliases stay under 1 %


@dataclass(frozen=True)
class Molecule:
    """Atoms of one model; every array has one row an atom.

    Attributes
    ----------
    coordinates : (atoms, 3) float64
        x, y, z in Å, about the particle's centre.
    atomic_numbers : (atoms,) int
    b_factors : (atoms,) float64
        In Å².
    occupancies : (atoms,) float64
    residues, chains : (atoms,) int
        Consecutive number of the residue and of the chain that the atom belongs to.
    """

    coordinates: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    b_factors: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    residues: NDArray[np.int64]
    chains: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.coordinates) == 0:
            raise ValueError("the molecule has no atoms")

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def radius(self) -> float:
        """Distance in Å of the farthest atom from the origin."""
        return float(np.linalg.norm(self.coordinates, axis=1).max())

    def moved(
        self, rotation: NDArray[np.float64], shift: NDArray[np.float64] | float = 0.0
    ) -> Molecule:
        """Turn about the origin by a (3, 3) matrix, then shift by (3,) in Å."""
        return replace(self, coordinates=self.coordinates @ rotation.T + shift)

    def residue_centres(self) -> NDArray[np.float64]:
        """Mean position of the atoms of each residue, (residues, 3) in Å."""
        count = np.bincount(self.residues)[:, None]
        sums = [np.bincount(self.residues, axis) for axis in self.coordinates.T]
        return np.stack(sums, axis=1) / count


def concatenate(parts: list[Molecule]) -> Molecule:
    """Join molecules whose residues and chains are numbered alike."""
    names = (
        "coordinates", "atomic_numbers", "b_factors", "occupancies", "residues", "chains",
    )  # fmt: skip
    return Molecule(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def scattering_density(molecule: Molecule, box: int, voxel_size: float) -> NDArray[np.float32]:
    """Potential of the atoms in vacuum, without any frequency beyond Nyquist.

    Each atom is the sum of Gaussians of its electron form factor (International Tables C, table
    4.3.2.2, through gemmi's `DensityCalculatorE`), spread by its B factor. They are put on a finer
    grid, blurred, and the blur is taken off in Fourier space, where the grid is made coarser.

    Parameters
    ----------
    molecule : Molecule
        B factors may be anything from 0 Å² up.
    box : int
        Voxels a side, divisible by 4.
    voxel_size : float
        In Å.

    Returns
    -------
    (box, box, box) float32
        In z, y, x, origin at box // 2; the sum times the voxel's volume is the sum of the form
        factors at zero angle, in Å.

    Raises
    ------
    ValueError
        If the box is not divisible by 4.
    """
    import gemmi

    if box % 4:
        raise ValueError(f"the box must be divisible by 4, not {box}")
    fine = round(_OVERSAMPLING * box)
    side = box * voxel_size
    blur = _GRIDDING_B * (voxel_size / 1.5) ** 2
    calculator = gemmi.DensityCalculatorE()
    calculator.cutoff = 1e-6
    calculator.grid.set_unit_cell(gemmi.UnitCell(side, side, side, 90, 90, 90))
    calculator.grid.set_size(fine, fine, fine)
    elements = {int(z): gemmi.Element(int(z)) for z in np.unique(molecule.atomic_numbers)}
    atom = gemmi.Atom()
    rows = zip(
        (molecule.coordinates + side / 2).tolist(),
        molecule.atomic_numbers.tolist(),
        (molecule.b_factors + blur).tolist(),
        molecule.occupancies.tolist(),
        strict=True,
    )
    for position, number, b_factor, occupancy in rows:
        atom.pos = gemmi.Position(*position)
        atom.element = elements[number]
        atom.b_iso = b_factor
        atom.occ = occupancy
        calculator.add_atom_density_to_grid(atom)
    density = np.array(calculator.grid, copy=False).T
    transform = coarser_transform(scipy.fft.rfftn(np.ascontiguousarray(density)), box)
    transform *= b_factor_gain(box, voxel_size, -blur)
    return scipy.fft.irfftn(transform, (box,) * 3).astype(np.float32)


def coarser_transform(transform: NDArray[np.complex64], box: int) -> NDArray[np.complex64]:
    """Cut a transform to a box of `box` voxels of the same side in Å, inside the Nyquist sphere."""
    fine = transform.shape[0]
    keep = np.fft.fftfreq(box, 1 / box).astype(int) % fine
    cut = transform[np.ix_(keep, keep, np.arange(box // 2 + 1))] * np.float32((box / fine) ** 3)
    return cut * (squared_frequency(box, 1.0) < 0.25)


def squared_frequency(box: int, voxel_size: float) -> NDArray[np.float32]:
    """Squared spatial frequency, 1/Å², on the half-complex grid (box, box, box // 2 + 1)."""
    full = np.fft.fftfreq(box, voxel_size).astype(np.float32) ** 2
    half = np.fft.rfftfreq(box, voxel_size).astype(np.float32) ** 2
    return full[:, None, None] + full[:, None] + half


def b_factor_gain(box: int, voxel_size: float, b_factor: float) -> NDArray[np.float32]:
    """exp(-B s² / 4) on the half-complex grid; `b_factor` in Å²."""
    return np.exp(np.float32(-b_factor / 4) * squared_frequency(box, voxel_size))
