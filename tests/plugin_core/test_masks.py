"""Soft spheres at points where their value is known."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core import masks
from plugin_core.backend import to_host


@pytest.mark.parametrize("box", [32, 33])
@pytest.mark.parametrize(
    ("distance", "value"), [(0, 1), (8, 1), (9, 0.5 + np.sqrt(0.125)), (10, 0.5), (12, 0), (15, 0)]
)
def test_the_edge_lies_outside_the_radius(xp, box, distance, value):
    sphere = to_host(masks.soft_sphere(box, 8, 4, xp))
    assert sphere.dtype == np.float32
    centre = box // 2
    for axis in range(3):
        for side in (-1, 1):
            voxel = [centre] * 3
            voxel[axis] += side * distance
            assert sphere[tuple(voxel)] == pytest.approx(value, abs=1e-6)


def test_a_sphere_depends_on_the_distance_only():
    sphere = masks.soft_sphere(32, 8, 4)
    centre = 16
    assert sphere[centre + 6, centre + 6, centre - 6] == pytest.approx(
        0.5 + 0.5 * np.cos(np.pi * (np.sqrt(108) - 8) / 4), abs=1e-6
    )


def test_the_particle_sphere_has_the_diameter_of_the_particle():
    sphere = masks.particle_sphere(64, particle_diameter=80, voxel_size=2)
    profile = sphere[32, 32, 32:]
    assert (profile[:21] == 1).all()
    assert profile[21] < 1
    assert profile[24] > 0
    assert profile[25] == pytest.approx(0, abs=1e-6)


def test_a_particle_larger_than_the_box_leaves_the_faces_empty():
    sphere = masks.particle_sphere(32, particle_diameter=500, voxel_size=1)
    assert sphere[16, 16, 16] == 1
    assert sphere[0].max() == pytest.approx(0, abs=1e-6)
