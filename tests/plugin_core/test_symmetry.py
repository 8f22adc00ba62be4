from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.masks import soft_sphere
from plugin_core.symmetry import rotations, symmetrise

BOX = 24


def blobs(positions: np.ndarray, xp=np):
    """Gaussian blobs at positions (x, y, z) from the centre of a box."""
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    grid = np.stack([x, y, z], axis=-1)
    distance2 = ((grid[None] - np.asarray(positions)[:, None, None, None]) ** 2).sum(axis=-1)
    return xp.asarray(np.exp(-distance2 / (2 * 2.0**2)).sum(axis=0), dtype=np.float32)


@pytest.mark.parametrize(
    ("group", "order"),
    [(f"C{n}", n) for n in (1, 3, 12)] + [("D2", 4), ("d7", 14), ("O", 24), ("I1", 60)],
)
def test_groups_are_closed_and_of_the_right_order(group, order):
    operations = rotations(group)
    assert operations.shape == (order, 3, 3)
    products = np.einsum("aij,bjk->abik", operations, operations).reshape(-1, 3, 3)
    distance = np.abs(products[:, None] - operations[None]).max(axis=(2, 3)).min(axis=1)
    assert distance.max() < 1e-12


@pytest.mark.parametrize("group", ["C0", "T", "I", "I2", "E3", "C", "D-2", ""])
def test_groups_of_unchecked_orientation_are_refused(group):
    with pytest.raises(ValueError, match="the symmetry must be Cn, Dn, O or I1, not"):
        rotations(group)


@pytest.mark.relion
@pytest.mark.parametrize("group", ["C5", "D3", "D4", "O", "I1"])
def test_orientations_are_relions(group):
    command = ["relion_refine", "--sym", group, "--print_symmetry_ops"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    number = r"\s*(-?[\d.]+(?:e-?\d+)?)"
    matrices = re.findall(r"R\(\d+\)=" + number * 9, printed)
    relions = np.array(matrices, dtype=float).reshape(-1, 3, 3)
    ours = rotations(group)
    assert len(relions) == len(ours)
    nearest = np.abs(relions[:, None] - ours[None]).max(axis=(2, 3)).min(axis=1)
    assert nearest.max() < 1e-4  # RELION prints five decimals


@pytest.mark.parametrize("group", ["C3", "D2", "O"])
def test_one_blob_becomes_its_orbit(xp, group):
    position = np.array([5.0, 2.0, 3.0])
    operations = rotations(group)
    expected = blobs(operations @ position) / len(operations)
    found = symmetrise(blobs(position[None], xp), group)
    assert found.dtype == np.float32
    # Near the faces a rotation brings in what lay outside the box.
    inside = soft_sphere(BOX, BOX / 2 - 2, 1) > 0
    np.testing.assert_allclose(to_host(found)[inside], expected[inside], atol=1e-3)


def test_c1_leaves_the_map_alone():
    volume = blobs(np.array([[5.0, 2.0, 3.0]]))
    assert symmetrise(volume, "C1") is volume
