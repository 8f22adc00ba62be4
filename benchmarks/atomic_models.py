"""Atomic models from PDB and mmCIF files, for the scripts beside this one. Needs gemmi."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from plugin_core.simulation.belt import Slab
from plugin_core.simulation.membrane import SLAB_THICKNESS, find_membrane
from plugin_core.simulation.molecule import Molecule
from relion_external.errors import UserError

# Free energy of transfer from water to octanol, kcal/mol (Wimley, Creamer & White 1996); negative
# prefers the membrane.
TRANSFER_ENERGY = {
    "ALA": 0.50, "ARG": 1.81, "ASN": 0.85, "ASP": 3.64, "CYS": -0.02, "GLN": 0.77, "GLU": 3.63,
    "GLY": 1.15, "HIS": 0.11, "ILE": -1.12, "LEU": -1.25, "LYS": 2.80, "MET": -0.67,
    "PHE": -1.71, "PRO": 0.14, "SER": 0.46, "THR": 0.25, "TRP": -2.09, "TYR": -0.71, "VAL": -0.46,
}  # fmt: skip
_SMALLEST_MODEL = 100  # atoms
_NEIGHBOURHOOD = 10.0  # Å


def read_model(path: Path) -> gemmi.Model:
    """Read a model without its waters and hydrogens; UserError if that is not possible."""
    return _cleaned(_read(path)[0], path)


def read_molecule(path: Path, largest_radius: float) -> tuple[gemmi.Model, Molecule, bool]:
    """Read a model, as its first biological assembly if that is not larger than a radius in Å.

    Returns
    -------
    gemmi.Model
        What the molecule was made from, in the frame of the file.
    Molecule
        About the middle of its extent.
    bool
        Whether it is an assembly that differs from the model in the file.

    Raises
    ------
    UserError
        If the file cannot be read, or holds too few atoms.
    """
    structure = _read(path)
    count = structure[0].count_atom_sites()
    if structure.assemblies:
        # Before the waters go: operators name the chains that hold them.
        assembly = structure.assemblies[0]
        whole = gemmi.make_assembly(assembly, structure[0], gemmi.HowToNameCopiedChain.AddNumber)
        if whole.count_atom_sites() not in (0, count):
            molecule = to_molecule(_cleaned(whole, path))
            if molecule.radius <= largest_radius:
                return whole, molecule, True
    model = _cleaned(structure[0], path)
    return model, to_molecule(model), False


def to_molecule(model: gemmi.Model) -> Molecule:
    """Arrays of a model's atoms, about the middle of its extent."""
    rows, residues, chains = [], [], []
    residue_number = 0
    for chain_number, chain in enumerate(model):
        for residue in chain:
            for atom in residue:
                rows.append((*atom.pos.tolist(), atom.element.atomic_number, atom.b_iso, atom.occ))
                residues.append(residue_number)
                chains.append(chain_number)
            residue_number += len(residue) > 0
    table = np.array(rows, dtype=np.float64)
    coordinates = table[:, :3] - _middle(table[:, :3])
    numbers = np.where(table[:, 3] > 0, table[:, 3], 6).astype(np.int64)  # unknown: as carbon
    return Molecule(
        coordinates, numbers, table[:, 4], table[:, 5], np.array(residues), np.array(chains)
    )


def membrane_slab(model: gemmi.Model) -> Slab:
    """The membrane of a model, in the frame of :func:`to_molecule`."""
    normal, centre = find_membrane(*surface_residues(model))
    middle = _middle(np.array([cra.atom.pos.tolist() for cra in model.all()]))
    return Slab(normal.astype(np.float32), (centre - middle).astype(np.float32), SLAB_THICKNESS)


def surface_residues(model: gemmi.Model) -> tuple[np.ndarray, np.ndarray]:
    """Side-chain positions (n, 3) and transfer energies (n,) of the least buried residues."""
    from scipy.spatial import cKDTree

    positions, energies = [], []
    for chain in model:
        for residue in chain:
            if residue.name in TRANSFER_ENERGY:
                side = [a.pos.tolist() for a in residue if a.name not in ("N", "C", "O", "CA")]
                backbone = [a.pos.tolist() for a in residue if a.name == "CA"]
                if side or backbone:
                    positions.append(np.mean(side or backbone, axis=0))
                    energies.append(TRANSFER_ENERGY[residue.name])
    position, energy = np.array(positions), np.array(energies)
    tree = cKDTree(position)
    neighbours = tree.query_ball_point(position, _NEIGHBOURHOOD, return_length=True)
    exposed = neighbours < np.percentile(neighbours, 50)
    return position[exposed], energy[exposed]


def _read(path: Path) -> gemmi.Structure:
    try:
        structure = gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        message = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as a PDB or mmCIF file: {message}") from error
    if len(structure) == 0:
        raise UserError(f"{path} holds no model, expected atoms in PDB or mmCIF format")
    structure.setup_entities()
    return structure


def _cleaned(model: gemmi.Model, path: Path) -> gemmi.Model:
    """Take out waters and hydrogens, in place."""
    model.remove_waters()
    model.remove_hydrogens()
    count = model.count_atom_sites()
    if count < _SMALLEST_MODEL:
        raise UserError(
            f"{path} has {count} atoms that are not water or hydrogen, "
            f"expected a model of {_SMALLEST_MODEL} or more"
        )
    return model


def _middle(coordinates: np.ndarray) -> np.ndarray:
    return (coordinates.min(axis=0) + coordinates.max(axis=0)) / 2
