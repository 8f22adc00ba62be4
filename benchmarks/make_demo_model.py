"""Turn an atomic structure into the small model that the demonstration simulates images of.

    python benchmarks/make_demo_model.py 4hg6.pdb.gz relion_external/data/bcsab.npz

Needs gemmi. Finds the membrane as the slab, 30 Å thick, whose residues on the protein's surface
are the most hydrophobic over all directions and heights, and turns its normal to z.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gemmi
import numpy as np

SLAB_THICKNESS = 30.0
# Free energy of transfer from water to octanol, kcal/mol (Wimley, Creamer & White 1996); negative
# prefers the membrane.
TRANSFER_ENERGY = {
    "ALA": 0.50, "ARG": 1.81, "ASN": 0.85, "ASP": 3.64, "CYS": -0.02, "GLN": 0.77, "GLU": 3.63,
    "GLY": 1.15, "HIS": 0.11, "ILE": -1.12, "LEU": -1.25, "LYS": 2.80, "MET": -0.67,
    "PHE": -1.71, "PRO": 0.14, "SER": 0.46, "THR": 0.25, "TRP": -2.09, "TYR": -0.71, "VAL": -0.46,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structure", type=Path, help="PDB or mmCIF file, may be gzipped")
    parser.add_argument("output", type=Path, help="the model, .npz")
    args = parser.parse_args()

    structure = gemmi.read_structure(str(args.structure))
    structure.setup_entities()
    structure.remove_hydrogens()
    structure.remove_waters()
    atoms = [cra.atom for cra in structure[0].all()]
    coordinates = np.array([atom.pos.tolist() for atom in atoms])
    normal, slab_centre = find_membrane(*surface_residues(structure[0]))
    upright = rotation_to_z(normal)
    coordinates, slab_centre = coordinates @ upright.T, upright @ slab_centre
    centre = (coordinates.min(axis=0) + coordinates.max(axis=0)) / 2
    np.savez_compressed(
        args.output,
        coordinates=(coordinates - centre).astype(np.float16),
        weights=np.array([atom.element.atomic_number * atom.occ for atom in atoms], np.float16),
        b_factors=np.array([atom.b_iso for atom in atoms], np.float16),
        slab_axis=np.array([0.0, 0.0, 1.0], np.float32),
        slab_centre=(slab_centre - centre).astype(np.float32),
        slab_thickness=np.float32(SLAB_THICKNESS),
    )
    mass = sum(atom.element.weight for atom in atoms) / 1e3
    radius = np.linalg.norm(coordinates - centre, axis=1).max()
    print(f"{args.output}: {len(atoms)} atoms, {mass:.0f} kDa, radius {radius:.0f} Å")
    print(f"membrane normal {np.round(normal, 3)} in the entry, now z;", end=" ")
    print(f"centre {np.round(slab_centre - centre, 1)} Å")


def surface_residues(model: gemmi.Model) -> tuple[np.ndarray, np.ndarray]:
    """Side-chain positions (n, 3) and transfer energies (n,) of the least buried residues."""
    positions, energies = [], []
    for chain in model:
        for residue in chain:
            if residue.name in TRANSFER_ENERGY:
                side = [a.pos.tolist() for a in residue if a.name not in ("N", "C", "O", "CA")]
                backbone = [a.pos.tolist() for a in residue if a.name == "CA"]
                positions.append(np.mean(side or backbone, axis=0))
                energies.append(TRANSFER_ENERGY[residue.name])
    position, energy = np.array(positions), np.array(energies)
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    neighbours = (distance < 10.0).sum(axis=1)
    exposed = neighbours < np.percentile(neighbours, 50)
    return position[exposed], energy[exposed]


def find_membrane(position: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normal and centre of the slab of lowest summed transfer energy."""
    middle = position.mean(axis=0)
    best = (np.inf, np.array([0.0, 0.0, 1.0]), 0.0)
    for normal in hemisphere(2000):
        height = (position - middle) @ normal
        for start in np.arange(height.min(), height.max() - SLAB_THICKNESS, 1.0):
            inside = (height >= start) & (height < start + SLAB_THICKNESS)
            score = float(energy[inside].sum())
            if score < best[0]:
                best = (score, normal, start + SLAB_THICKNESS / 2)
    _, normal, height_of_centre = best
    inside = np.abs((position - middle) @ normal - height_of_centre) < SLAB_THICKNESS / 2
    in_slab = position[inside].mean(axis=0) - middle
    in_plane = in_slab - (in_slab @ normal) * normal
    return normal, middle + in_plane + height_of_centre * normal


def rotation_to_z(normal: np.ndarray) -> np.ndarray:
    """A rotation matrix that takes the unit vector `normal` to z."""
    across = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(normal, across), normal])


def hemisphere(count: int) -> np.ndarray:
    """Directions spread evenly over the upper hemisphere (Fibonacci lattice), (count, 3)."""
    index = np.arange(count) + 0.5
    z = index / count
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


if __name__ == "__main__":
    main()
