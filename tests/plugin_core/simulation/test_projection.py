from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.poses import euler_to_matrix, random_orientations
from plugin_core.simulation.projection import (
    Atoms,
    Projector,
    map_transform,
    shift_phases,
    to_real_space,
)

BOX, VOXEL_SIZE = 32, 2.0


def single_atom(position: tuple[float, float, float], b_factor: float = 300.0) -> Atoms:
    return Atoms(
        np.array([position], np.float32), np.ones(1, np.float32), np.full(1, b_factor, np.float32)
    )


@pytest.fixture
def cluster() -> Atoms:
    rng = np.random.default_rng(2)
    return Atoms(
        rng.uniform(-15.0, 15.0, (40, 3)).astype(np.float32),
        rng.uniform(1.0, 16.0, 40).astype(np.float32),
        rng.uniform(20.0, 200.0, 40).astype(np.float32),
    )


def project(atoms: Atoms, angles: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    return to_real_space(Projector(atoms, BOX, VOXEL_SIZE)(euler_to_matrix([angles])[0]))


def brightest(array: np.ndarray) -> tuple[int, ...]:
    """Offset of the maximum from the origin, in the order of the axes."""
    return tuple(int(i) - BOX // 2 for i in np.unravel_index(array.argmax(), array.shape))


@pytest.mark.parametrize(
    ("angles", "row", "column"),
    [
        ((0.0, 0.0, 0.0), 2, 5),
        ((90.0, 0.0, 0.0), -5, 2),  # x' = y, y' = -x
        ((0.0, 0.0, 90.0), -5, 2),
        ((0.0, 90.0, 0.0), 2, 3),  # x' = -z
        ((0.0, 180.0, 0.0), 2, -5),
        ((90.0, 90.0, 0.0), -5, 3),  # first rot, then tilt
    ],
)
def test_an_atom_lands_where_relions_angles_put_it(
    angles: tuple[float, float, float], row: int, column: int
) -> None:
    atom = single_atom((5 * VOXEL_SIZE, 2 * VOXEL_SIZE, -3 * VOXEL_SIZE))
    assert brightest(project(atom, angles)) == (row, column)


def test_an_atom_lies_in_the_map_as_z_y_x() -> None:
    atom = single_atom((5 * VOXEL_SIZE, 2 * VOXEL_SIZE, -3 * VOXEL_SIZE))
    assert brightest(to_real_space(map_transform(atom, BOX, VOXEL_SIZE))) == (-3, 2, 5)


def test_an_atom_is_the_gaussian_of_its_b_factor() -> None:
    b_factor = 300.0  # dark at the Nyquist frequency, so that no ringing disturbs
    image = project(single_atom((3.0, -5.0, 0.0), b_factor))
    y, x = (np.mgrid[:BOX, :BOX] - BOX // 2) * VOXEL_SIZE
    distance2 = (x - 3.0) ** 2 + (y + 5.0) ** 2
    per_pixel = VOXEL_SIZE**2 * 4 * np.pi / b_factor
    expected = per_pixel * np.exp(-4 * np.pi**2 * distance2 / b_factor)
    np.testing.assert_allclose(image, expected, atol=2e-5 * per_pixel + np.exp(-300 / 64))


def test_the_map_summed_along_z_is_its_projection(cluster: Atoms) -> None:
    volume = to_real_space(map_transform(cluster, BOX, VOXEL_SIZE))
    image = project(cluster)
    np.testing.assert_allclose(volume.sum(axis=0), image, atol=1e-5 * image.max())


def test_a_projection_is_the_central_slice_of_the_atoms_transform(cluster: Atoms) -> None:
    """Against the defining sum in float64 at the rotated frequency, without any separation."""
    for rotation in euler_to_matrix(random_orientations(5, np.random.default_rng(4))):
        transform = Projector(cluster, BOX, VOXEL_SIZE)(rotation)
        for ky, kx in [(0, 0), (0, 7), (5, 3), (-5, 3), (-15, 2), (11, 11)]:
            frequency = np.array([kx, ky, 0.0]) / (BOX * VOXEL_SIZE) @ rotation
            decay = np.exp(-cluster.b_factors.astype(float) * (frequency @ frequency) / 4)
            phase = np.exp(-2j * np.pi * cluster.coordinates.astype(float) @ frequency)
            expected = np.sum(cluster.weights * decay * phase)
            assert transform[ky, kx] == pytest.approx(
                expected, abs=1e-5 * float(cluster.weights.sum())
            )


def test_nothing_lies_beyond_the_nyquist_sphere(cluster: Atoms) -> None:
    transform = Projector(cluster, BOX, VOXEL_SIZE)(np.eye(3))
    ky, kx = np.meshgrid(np.fft.fftfreq(BOX, 1 / BOX), np.arange(BOX // 2 + 1), indexing="ij")
    outside = np.hypot(kx, ky) >= BOX / 2
    assert np.all(transform[outside] == 0)
    assert np.all(transform[~outside] != 0)


def test_shift_moves_the_content(cluster: Atoms) -> None:
    transform = Projector(cluster, BOX, VOXEL_SIZE)(np.eye(3))
    moved = to_real_space(transform * shift_phases(np.array([6.0, -4.0]), BOX, VOXEL_SIZE))
    np.testing.assert_allclose(
        moved, np.roll(to_real_space(transform), (-2, 3), axis=(0, 1)), atol=1e-3
    )


def test_an_odd_box_is_refused(cluster: Atoms) -> None:
    with pytest.raises(ValueError, match="even side, not 33"):
        Projector(cluster, 33, VOXEL_SIZE)
