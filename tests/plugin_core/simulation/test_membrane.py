from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.membrane import find_membrane


def test_the_hydrophobic_slab_is_found() -> None:
    rng = np.random.default_rng(0)
    normal = np.array([0.36, 0.48, 0.8])
    points = rng.uniform(-1, 1, (6000, 3)) * 60
    across = points - np.outer(points @ normal, normal)
    points = points[np.linalg.norm(across, axis=1) < 25]
    height = points @ normal
    energy = np.where(np.abs(height - 12) < 15, -1.0, 1.0) + rng.normal(0, 0.5, len(points))
    found, centre = find_membrane(points, energy)
    assert abs(found @ normal) > np.cos(np.radians(4))
    assert centre @ normal == pytest.approx(12, abs=2)
    assert np.linalg.norm(centre - (centre @ normal) * normal) < 4


def test_a_protein_thinner_than_a_membrane_is_all_inside() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-8, 8, (200, 3))
    _, centre = find_membrane(points, np.full(200, -1.0), directions=50)
    assert np.linalg.norm(centre) < 10
