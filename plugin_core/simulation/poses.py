"""Orientations as RELION writes them: drawing, perturbing and comparing Euler triplets.

A triplet (rot, tilt, psi) in degrees stands for the matrix A = Rz(psi) Ry(tilt) Rz(rot), with each
factor turning the axes rather than the object (Heymann, Chagoyen & Belnap 2005, J. Struct. Biol.
151, 196). A takes map coordinates (x, y, z) to image coordinates; its third row is the direction
that is integrated over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def euler_to_matrix(angles: ArrayLike) -> FloatArray:
    """Return the matrices, shape (n, 3, 3), of Euler triplets in degrees, shape (n, 3)."""
    rot, tilt, psi = np.radians(np.asarray(angles, dtype=np.float64)).T
    return _axes_about_z(psi) @ _axes_about_y(tilt) @ _axes_about_z(rot)


def matrix_to_euler(matrices: ArrayLike) -> FloatArray:
    """Return Euler triplets in degrees, shape (n, 3), tilt in [0, 180], of matrices (n, 3, 3).

    At the poles, where only rot + psi (or psi - rot) is defined, psi is 0.
    """
    matrix = np.asarray(matrices, dtype=np.float64)
    sin_tilt = np.hypot(matrix[:, 2, 0], matrix[:, 2, 1])
    tilt = np.arctan2(sin_tilt, matrix[:, 2, 2])
    pole = sin_tilt < 1e-9
    facing = np.where(matrix[:, 2, 2] > 0, 1.0, -1.0)
    rot_at_pole = np.arctan2(facing * matrix[:, 0, 1], matrix[:, 1, 1])
    rot = np.where(pole, rot_at_pole, np.arctan2(matrix[:, 2, 1], matrix[:, 2, 0]))
    psi = np.where(pole, 0.0, np.arctan2(matrix[:, 1, 2], -matrix[:, 0, 2]))
    return np.degrees(np.stack([rot, tilt, psi], axis=1))


def random_orientations(count: int, rng: np.random.Generator) -> FloatArray:
    """Return `count` Euler triplets in degrees, uniform over all rotations, shape (count, 3)."""
    rot, psi = rng.uniform(-180.0, 180.0, (2, count))
    tilt = np.degrees(np.arccos(rng.uniform(-1.0, 1.0, count)))
    return np.stack([rot, tilt, psi], axis=1)


def perturb_orientations(angles: ArrayLike, degrees: float, rng: np.random.Generator) -> FloatArray:
    """Turn each orientation by exactly `degrees` about an axis drawn uniformly from the sphere."""
    matrices = euler_to_matrix(angles)
    axes = rng.normal(size=(len(matrices), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return matrix_to_euler(matrices @ _rotation_about(axes, np.radians(degrees)))


def angular_distance(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Return the angle in degrees, shape (n,), of the rotation between paired Euler triplets."""
    product = np.einsum("nij,nij->n", euler_to_matrix(first), euler_to_matrix(second))
    return np.degrees(np.arccos(np.clip((product - 1.0) / 2.0, -1.0, 1.0)))


def remove_common_rotation(angles: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Return `angles` (n, 3) as seen in the frame of `reference` (n, 3), in degrees.

    A refinement may let its map turn slowly away from the frame of the truth; all its orientations
    then share one rotation G (A = A_reference G). G is the rotation nearest to the mean of
    A_reference^T A (singular value decomposition, Kabsch 1976). Taken among all particles, it is
    drawn towards the many that lie close, little by outliers, whose rotations average out.
    """
    matrices, target = euler_to_matrix(angles), euler_to_matrix(reference)
    mean = np.einsum("nji,njk->ik", target, matrices) / len(matrices)
    left, _, right = np.linalg.svd(mean)
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return matrix_to_euler(matrices @ (left @ handed @ right).T)


def nearest_mates(angles: ArrayLike, other: ArrayLike, operations: ArrayLike) -> FloatArray:
    """Return, of the symmetry mates of each orientation, the one nearest to another orientation.

    Parameters
    ----------
    angles, other : (n, 3)
        Euler triplets in degrees.
    operations : (m, 3, 3)
        Rotations (x, y, z) that leave the map as it is
        (:func:`plugin_core.symmetry.rotations`): A and A S show the same image.

    Returns
    -------
    (n, 3) float64
        The mates of `angles` nearest to `other`.
    """
    mates = np.einsum("nij,mjk->nmik", euler_to_matrix(angles), np.asarray(operations))
    traces = np.einsum("nmij,nij->nm", mates, euler_to_matrix(other))
    return matrix_to_euler(mates[np.arange(len(mates)), traces.argmax(axis=1)])


def _axes_about_z(angle: FloatArray) -> FloatArray:
    cos, sin, zero, one = _entries(angle)
    rows = [[cos, sin, zero], [-sin, cos, zero], [zero, zero, one]]
    return np.moveaxis(np.array(rows), -1, 0)


def _axes_about_y(angle: FloatArray) -> FloatArray:
    cos, sin, zero, one = _entries(angle)
    rows = [[cos, zero, -sin], [zero, one, zero], [sin, zero, cos]]
    return np.moveaxis(np.array(rows), -1, 0)


def _entries(angle: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)


def _rotation_about(axes: FloatArray, angle: float) -> FloatArray:
    """Rotation matrices (n, 3, 3) by `angle` radians about unit `axes` (n, 3) (Rodrigues)."""
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.moveaxis(np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]), -1, 0)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
