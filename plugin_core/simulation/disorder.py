"""What makes a molecule's parts differ in resolution: blur, partial occupancy, floppy domains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from plugin_core.simulation.molecule import Molecule, concatenate


@dataclass(frozen=True)
class BlurField:
    """B factors that rise smoothly in space, per residue.

    Away from a rigid core the B factor grows to `far_b_factor` (Å²) at the molecule's farthest
    residue, with the distance to the power `exponent`. Each spot adds `spot_b_factors` (Å²) with a
    Gaussian of `spot_radius` (standard deviation, Å) about a residue.

    Attributes
    ----------
    core : tuple of float
        x, y, z in Å.
    """

    core: tuple[float, float, float]
    far_b_factor: float
    exponent: float
    spots: tuple[tuple[float, float, float], ...]
    spot_b_factors: tuple[float, ...]
    spot_radius: float


def blurred(molecule: Molecule, field: BlurField) -> Molecule:
    """Add the field's B factor at each residue's centre to the atoms of that residue."""
    centres = molecule.residue_centres()
    distance = np.linalg.norm(centres - field.core, axis=1)
    b_factor = field.far_b_factor * (distance / max(distance.max(), 1e-6)) ** field.exponent
    for spot, height in zip(field.spots, field.spot_b_factors, strict=True):
        squared = ((centres - spot) ** 2).sum(axis=1)
        b_factor += height * np.exp(-squared / (2 * field.spot_radius**2))
    return replace(molecule, b_factors=molecule.b_factors + b_factor[molecule.residues])


def sphere_domain(
    molecule: Molecule, centre: NDArray[np.float64], fraction: float
) -> NDArray[np.bool_]:
    """The given fraction of all residues, those nearest to `centre` (x, y, z in Å): (atoms,)."""
    distance = np.linalg.norm(molecule.residue_centres() - centre, axis=1)
    return (distance <= np.quantile(distance, fraction))[molecule.residues]


def with_occupancy(molecule: Molecule, domain: NDArray[np.bool_], occupancy: float) -> Molecule:
    """Multiply the occupancies of the atoms of `domain`, (atoms,) bool."""
    return replace(molecule, occupancies=np.where(domain, occupancy, 1.0) * molecule.occupancies)


def floppy(
    molecule: Molecule,
    domain: NDArray[np.bool_],
    angle_sd: float,
    shift_sd: float,
    copies: int,
    rng: np.random.Generator,
) -> Molecule:
    """Replace a domain by the average of rigidly moved copies of it.

    The copies turn about the hinge: the domain's atom nearest to the rest of the molecule's
    centre. Each is given the B factor (8 pi² / 3 times the mean squared displacement between
    neighbouring copies) that makes the few of them a smooth average.

    Parameters
    ----------
    molecule : Molecule
    domain : (atoms,) bool
    angle_sd, shift_sd : float
        Standard deviation of the rotation about each axis, degrees, and of the shift along each
        axis, Å.
    copies : int
        Copies drawn; each has 1 / copies of the occupancy.
    rng : numpy.random.Generator
    """
    inside, outside = (_select(molecule, chosen) for chosen in (domain, ~domain))
    rest = outside.coordinates.mean(axis=0)
    hinge = inside.coordinates[np.argmin(((inside.coordinates - rest) ** 2).sum(axis=1))]
    arms = inside.coordinates - hinge
    turns = np.radians(rng.normal(0.0, angle_sd, (copies, 3)))
    shifts = rng.normal(0.0, shift_sd, (copies, 3))
    squared = 2 * (np.radians(angle_sd) ** 2) * (arms**2).sum(axis=1) + 3 * shift_sd**2
    b_factor = inside.b_factors + 8 * np.pi**2 / 3 * squared / copies ** (2 / 3)
    moved = [
        replace(
            inside,
            coordinates=hinge + Rotation.from_rotvec(turn).apply(arms) + shift,
            b_factors=b_factor,
            occupancies=inside.occupancies / copies,
        )
        for turn, shift in zip(turns, shifts, strict=True)
    ]
    return concatenate([outside, *moved])


def _select(molecule: Molecule, chosen: NDArray[np.bool_]) -> Molecule:
    return Molecule(
        molecule.coordinates[chosen],
        molecule.atomic_numbers[chosen],
        molecule.b_factors[chosen],
        molecule.occupancies[chosen],
        molecule.residues[chosen],
        molecule.chains[chosen],
    )
