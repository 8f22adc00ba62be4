from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.poses import (
    angular_distance,
    euler_to_matrix,
    matrix_to_euler,
    nearest_mates,
    perturb_orientations,
    random_orientations,
    remove_common_rotation,
)
from plugin_core.symmetry import rotations

POLES = np.array([[20.0, 0.0, 30.0], [20.0, 180.0, 30.0], [-170.0, 0.0, -50.0]])


@pytest.fixture
def angles() -> np.ndarray:
    return random_orientations(200, np.random.default_rng(3))


def test_matrix_entries_are_those_of_the_zyz_convention() -> None:
    rot, tilt, psi = 25.0, 70.0, -110.0
    a, b, c = np.radians([rot, tilt, psi])
    (matrix,) = euler_to_matrix([[rot, tilt, psi]])
    expected_direction = [np.sin(b) * np.cos(a), np.sin(b) * np.sin(a), np.cos(b)]
    np.testing.assert_allclose(matrix[2], expected_direction, atol=1e-12)
    np.testing.assert_allclose(
        matrix[:, 2], [-np.sin(b) * np.cos(c), np.sin(b) * np.sin(c), np.cos(b)]
    )
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_rot_alone_turns_the_axes_towards_y() -> None:
    (matrix,) = euler_to_matrix([[90.0, 0.0, 0.0]])
    np.testing.assert_allclose(matrix @ [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], atol=1e-12)


def test_angles_survive_the_way_through_matrices(angles: np.ndarray) -> None:
    np.testing.assert_allclose(matrix_to_euler(euler_to_matrix(angles)), angles, atol=1e-9)


def test_poles_keep_their_rotation() -> None:
    there_and_back = matrix_to_euler(euler_to_matrix(POLES))
    np.testing.assert_allclose(euler_to_matrix(there_and_back), euler_to_matrix(POLES), atol=1e-9)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_distance_of_one_changed_angle_is_the_change(column: int) -> None:
    first = np.array([[10.0, 50.0, 20.0]])
    second = first.copy()
    second[0, column] += 37.0
    assert angular_distance(first, second) == pytest.approx(37.0)


def test_distance_counts_rotations_about_the_view_and_the_object_together() -> None:
    assert angular_distance([[10.0, 0.0, 20.0]], [[40.0, 0.0, -10.0]]) == pytest.approx(
        0.0, abs=1e-5
    )
    assert angular_distance([[0.0, 0.0, 0.0]], [[0.0, 180.0, 0.0]]) == pytest.approx(180.0)


def test_perturbed_orientations_are_off_by_exactly_the_angle(angles: np.ndarray) -> None:
    perturbed = perturb_orientations(angles, 6.0, np.random.default_rng(0))
    np.testing.assert_allclose(angular_distance(angles, perturbed), 6.0, atol=1e-6)


def test_perturbations_have_no_preferred_axis(angles: np.ndarray) -> None:
    same = np.repeat(angles[:1], 20000, axis=0)
    perturbed = perturb_orientations(same, 10.0, np.random.default_rng(0))
    turns = euler_to_matrix(same).transpose(0, 2, 1) @ euler_to_matrix(perturbed)
    axes = np.stack(
        [
            turns[:, 2, 1] - turns[:, 1, 2],
            turns[:, 0, 2] - turns[:, 2, 0],
            turns[:, 1, 0] - turns[:, 0, 1],
        ]
    ) / (2 * np.sin(np.radians(10.0)))
    # Mean square of a component of a uniform unit vector: 1/3, standard error sqrt(4/45/n).
    np.testing.assert_allclose((axes**2).mean(axis=1), 1 / 3, atol=5 * np.sqrt(4 / 45 / 20000))


def test_random_orientations_are_uniform() -> None:
    count = 20000
    matrices = euler_to_matrix(random_orientations(count, np.random.default_rng(1)))
    # Every entry of a uniform rotation matrix has mean 0 and mean square 1/3.
    np.testing.assert_allclose(matrices.mean(axis=0), 0.0, atol=5 / np.sqrt(3 * count))
    np.testing.assert_allclose((matrices**2).mean(axis=0), 1 / 3, atol=0.01)


def test_common_rotation_is_removed_and_individual_errors_stay(angles: np.ndarray) -> None:
    common = euler_to_matrix([[30.0, 20.0, -15.0]])[0]
    wrong = perturb_orientations(angles, 3.0, np.random.default_rng(5))
    turned = matrix_to_euler(euler_to_matrix(wrong) @ common)
    assert angular_distance(turned, angles).min() > 20.0
    error = angular_distance(remove_common_rotation(turned, angles), angles)
    # The rotation is estimated from 200 particles that are 3 degrees off each.
    np.testing.assert_allclose(error, 3.0, atol=4 * 3.0 / np.sqrt(200))


def test_the_nearest_symmetry_mate_is_found() -> None:
    rng = np.random.default_rng(5)
    angles = random_orientations(50, rng)
    near = perturb_orientations(angles, 5.0, rng)
    operations = rotations("D2")
    chosen = operations[rng.integers(0, 4, 50)]
    mates = matrix_to_euler(euler_to_matrix(angles) @ chosen)
    np.testing.assert_allclose(
        angular_distance(nearest_mates(mates, near, operations), angles), 0.0, atol=1e-4
    )
