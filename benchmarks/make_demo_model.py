"""Turn an atomic structure into the small model that the demonstration simulates images of.

    python benchmarks/make_demo_model.py 4hg6.pdb.gz relion_external/data/bcsab.npz

Needs gemmi. Finds the membrane as the slab, 30 Å thick, whose residues on the protein's surface
are the most hydrophobic over all directions and heights, and turns its normal to z.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from atomic_models import read_model, surface_residues

from plugin_core.simulation.membrane import SLAB_THICKNESS, find_membrane


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structure", type=Path, help="PDB or mmCIF file, may be gzipped")
    parser.add_argument("output", type=Path, help="the model, .npz")
    args = parser.parse_args()

    model = read_model(args.structure)
    atoms = [cra.atom for cra in model.all()]
    coordinates = np.array([atom.pos.tolist() for atom in atoms])
    normal, slab_centre = find_membrane(*surface_residues(model))
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


def rotation_to_z(normal: np.ndarray) -> np.ndarray:
    """A rotation matrix that takes the unit vector `normal` to z."""
    across = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(normal, across), normal])


if __name__ == "__main__":
    main()
