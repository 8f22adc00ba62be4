"""Atomic models as specimens: from PDB or mmCIF files to atoms in the frame of the particle.

Needs gemmi (`pip install relion-external[benchmarks]`).
"""

from __future__ import annotations

import gemmi
import numpy as np
from atomic_models import surface_residues
from make_demo_model import rotation_to_z

from plugin_core.simulation.belt import Slab
from plugin_core.simulation.membrane import SLAB_THICKNESS, find_membrane
from plugin_core.simulation.projection import Atoms


def atoms_of(model: gemmi.Model, chains: str = "", residues: range | None = None) -> Atoms:
    """Atoms of some chains (all by default), and of some residue numbers of these, as they lie."""
    found = [
        atom
        for chain in model
        if not chains or chain.name in chains
        for residue in chain
        if residues is None or residue.seqid.num in residues
        for atom in residue
    ]
    return Atoms(
        np.array([atom.pos.tolist() for atom in found], dtype=np.float32),
        np.array([atom.element.atomic_number * atom.occ for atom in found], dtype=np.float32),
        np.array([atom.b_iso for atom in found], dtype=np.float32),
    )


def upright(model: gemmi.Model, membrane_chains: str) -> Slab:
    """Turn and move a model: normal of its membrane along z, bounding box centred on the origin.

    The membrane is looked for in `membrane_chains` (see `make_demo_model.py`) and returned in the
    new frame.
    """
    part = gemmi.Model(1)
    for chain in model:
        if chain.name in membrane_chains:
            part.add_chain(chain)
    normal, centre = find_membrane(*surface_residues(part))
    turn = rotation_to_z(normal)
    coordinates = atoms_of(model).coordinates @ turn.T
    middle = (coordinates.min(axis=0) + coordinates.max(axis=0)) / 2
    transform(model, turn, -middle)
    slab_centre = (turn @ centre - middle).astype(np.float32)
    return Slab(np.array([0, 0, 1], dtype=np.float32), slab_centre, SLAB_THICKNESS)


def centre(model: gemmi.Model) -> None:
    """Move the centre of the bounding box to the origin."""
    coordinates = atoms_of(model).coordinates
    transform(model, np.eye(3), -(coordinates.min(axis=0) + coordinates.max(axis=0)) / 2)


def transform(model: gemmi.Model, turn: np.ndarray, shift: np.ndarray) -> None:
    """Turn a model about the origin, then shift it by Å."""
    model.transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(turn.tolist()), gemmi.Vec3(*shift)))
