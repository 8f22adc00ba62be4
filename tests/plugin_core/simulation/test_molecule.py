from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.molecule import Molecule, concatenate, scattering_density

gemmi = pytest.importorskip("gemmi")

CARBON = 6
POSITION = (3.3, -4.1, 7.7)


def one_carbon(b_factor: float, occupancy: float = 1.0) -> Molecule:
    number = np.array([CARBON])
    zero = np.zeros(1, dtype=np.int64)
    return Molecule(
        np.array([POSITION]), number, np.array([b_factor]), np.array([occupancy]), zero, zero
    )


def frequencies(box: int, voxel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """(kz, ky, kx) of the full grid in 1/Å, and which lie inside 0.95 of Nyquist."""
    axis = np.fft.fftfreq(box, voxel_size)
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    return k, np.sqrt((k**2).sum(axis=0)) < 0.95 * 0.5 / voxel_size


@pytest.mark.parametrize("voxel_size", [0.8, 1.5, 3.0])
@pytest.mark.parametrize("b_factor", [0.0, 80.0, 400.0])
def test_an_atom_has_its_form_factor_its_b_factor_and_its_place(voxel_size, b_factor):
    box = 32
    density = scattering_density(one_carbon(b_factor), box, voxel_size)
    assert density.dtype == np.float32
    transform = np.fft.fftn(np.fft.ifftshift(density.astype(np.float64))) * voxel_size**3
    k, held = frequencies(box, voxel_size)
    s2 = (k**2).sum(axis=0)
    # sin²(theta) / lambda² is a quarter of the squared frequency.
    form = np.vectorize(gemmi.Element(CARBON).c4322.calculate_sf)(s2 / 4)
    phase = np.exp(-2j * np.pi * np.tensordot(POSITION[::-1], k, 1))
    expected = form * np.exp(-b_factor * s2 / 4) * phase
    np.testing.assert_allclose(transform[held], expected[held], atol=0.015 * form.max())


def test_the_b_factor_alone_sets_the_fall_off_of_the_amplitudes():
    box, voxel_size = 32, 1.5
    sharp, blunt = (scattering_density(one_carbon(b), box, voxel_size) for b in (50.0, 250.0))
    _, held = frequencies(box, voxel_size)
    s2 = (frequencies(box, voxel_size)[0] ** 2).sum(axis=0)
    ratio = np.abs(np.fft.fftn(blunt)) / np.maximum(np.abs(np.fft.fftn(sharp)), 1e-12)
    near = held & (s2 < 0.2**2)  # where the blunt atom is not yet lost in rounding
    np.testing.assert_allclose(ratio[near], np.exp(-200.0 * s2[near] / 4), rtol=0.01)


def test_density_goes_with_the_occupancy():
    whole, half = (scattering_density(one_carbon(50.0, q), 32, 1.5) for q in (1.0, 0.5))
    np.testing.assert_allclose(half, whole / 2, atol=1e-5)


def test_nothing_is_left_beyond_nyquist():
    transform = np.fft.fftn(scattering_density(one_carbon(10.0), 32, 1.5))
    axis = np.fft.fftfreq(32, 1 / 32)
    beyond = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 >= 16**2
    assert np.abs(transform[beyond]).max() < 1e-5 * np.abs(transform).max()


def test_joined_molecules_keep_all_their_atoms():
    both = concatenate([one_carbon(10.0), one_carbon(20.0, 0.5)])
    np.testing.assert_array_equal(both.b_factors, [10.0, 20.0])
    np.testing.assert_array_equal(both.occupancies, [1.0, 0.5])


def test_a_moved_molecule_is_turned_then_shifted():
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    moved = one_carbon(1.0).moved(quarter_turn, np.array([1.0, 2.0, 3.0]))
    x, y, z = POSITION
    np.testing.assert_allclose(moved.coordinates, [[-y + 1, x + 2, z + 3]])


def test_a_molecule_without_atoms_is_refused():
    none = np.zeros(0)
    with pytest.raises(ValueError, match="no atoms"):
        Molecule(np.zeros((0, 3)), none.astype(int), none, none, none.astype(int), none.astype(int))


def test_a_box_that_cannot_be_oversampled_is_refused():
    with pytest.raises(ValueError, match="divisible by 4, not 30"):
        scattering_density(one_carbon(10.0), 30, 1.5)
