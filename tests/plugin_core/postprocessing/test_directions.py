from __future__ import annotations

import numpy as np
import pytest

from plugin_core.postprocessing.directions import HalfSphereGrid, fibonacci_half_sphere


def test_directions_are_unit_vectors_of_the_upper_half() -> None:
    directions = fibonacci_half_sphere(300)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert directions[:, 2].min() > 0


def test_directions_are_spread_evenly() -> None:
    directions = fibonacci_half_sphere(300)
    np.testing.assert_allclose(directions.T @ directions / 300, np.eye(3) / 3, atol=0.005)
    nearest = np.sort(abs(directions @ directions.T), axis=1)[:, -2]
    angle = np.degrees(np.arccos(nearest))
    even = np.degrees(np.sqrt(2 * np.pi / 300))  # side of a square of the area of one direction
    assert 0.5 * even < angle.min() <= angle.max() < 1.2 * even


@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_a_vector_lies_in_the_cell_with_its_centre_near_by(spacing: float) -> None:
    grid = HalfSphereGrid(spacing)
    vectors = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32)
    vectors[0] = abs(vectors[0])
    cell = grid.cell_of(*vectors)
    cosine = (grid.centres[cell] * (vectors / np.linalg.norm(vectors, axis=0)).T).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.8 * spacing


def test_centres_lie_in_their_own_cells() -> None:
    grid = HalfSphereGrid(2.0)
    found = grid.cell_of(*grid.centres.T.astype(np.float32))
    np.testing.assert_array_equal(found, np.arange(len(grid.centres)))


def test_cells_have_nearly_equal_areas() -> None:
    grid = HalfSphereGrid(3.0)
    vectors = np.random.default_rng(0).standard_normal((3, 400_000)).astype(np.float32)
    vectors[0] = abs(vectors[0])
    counts = np.bincount(grid.cell_of(*vectors), minlength=len(grid.centres))
    assert counts.std() / counts.mean() < 0.15  # 0.07 is the counting noise


def test_axes_and_the_rim_are_in_the_grid() -> None:
    grid = HalfSphereGrid(1.0)
    rim = np.array([[1, 0, 0, 0, 0], [0, 1, -1, 0, 0], [0, 0, 0, 1, -1]], dtype=np.float32)
    cells = grid.cell_of(*rim)
    assert ((cells >= 0) & (cells < len(grid.centres))).all()
