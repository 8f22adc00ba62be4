from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.ctf import Optics, contrast_transfer

BOX, VOXEL_SIZE = 64, 2.0


@pytest.mark.parametrize(("kilovolt", "wavelength"), [(300.0, 0.01969), (200.0, 0.02508)])
def test_wavelength_is_the_tabulated_one(kilovolt: float, wavelength: float) -> None:
    optics = Optics(voltage_kilovolt=kilovolt)
    assert optics.wavelength_angstrom == pytest.approx(wavelength, abs=5e-6)


def test_zero_frequency_has_the_amplitude_contrast() -> None:
    ctf = contrast_transfer(BOX, VOXEL_SIZE, Optics(amplitude_contrast=0.07), 15000.0)
    assert ctf.shape == (1, BOX, BOX // 2 + 1)
    assert ctf[0, 0, 0] == pytest.approx(0.07)


def test_sign_is_positive_up_to_the_first_zero_then_negative() -> None:
    """Without aberration and amplitude contrast the zeros are at k^2 = n / (lambda dz)."""
    optics = Optics(spherical_aberration_mm=0.0, amplitude_contrast=0.0)
    k = np.fft.rfftfreq(BOX, VOXEL_SIZE)
    ctf = contrast_transfer(BOX, VOXEL_SIZE, optics, 10000.0)[0, 0]
    half_periods = optics.wavelength_angstrom * 10000.0 * k**2
    assert np.all(ctf[(half_periods > 0) & (half_periods < 1)] > 0)
    assert np.all(ctf[(half_periods > 1) & (half_periods < 2)] < 0)


def test_values_against_the_formula_worked_by_hand() -> None:
    """k = 1/8 Å, 300 kV; in units of pi lambda dz k^2 = 4.6141, Cs lambda^3 k^4 / 2 = 0.02515."""
    ctf = contrast_transfer(BOX, VOXEL_SIZE, Optics(), 15000.0)
    expected = np.sin(np.pi * (4.61426 - 0.025150) + 0.1001674)
    assert ctf[0, 0, 16] == pytest.approx(expected, abs=2e-3)
    assert ctf[0, 16, 0] == pytest.approx(ctf[0, 0, 16], abs=1e-6)


def test_defocus_u_is_along_its_angle_and_v_across() -> None:
    along_y = contrast_transfer(BOX, VOXEL_SIZE, Optics(), 20000.0, 12000.0, 90.0)[0]
    u, v = contrast_transfer(BOX, VOXEL_SIZE, Optics(), np.array([20000.0, 12000.0]))
    np.testing.assert_allclose(along_y[: BOX // 2, 0], u[: BOX // 2, 0], atol=1e-6)
    np.testing.assert_allclose(along_y[0], v[0], atol=1e-6)


def test_the_angle_turns_from_x_to_y() -> None:
    ctf = contrast_transfer(BOX, VOXEL_SIZE, Optics(), 20000.0, 12000.0, 45.0)[0]
    u, v = contrast_transfer(BOX, VOXEL_SIZE, Optics(), np.array([20000.0, 12000.0]))
    assert ctf[8, 8] == pytest.approx(u[8, 8], abs=1e-6)
    assert ctf[-8, 8] == pytest.approx(v[-8, 8], abs=1e-6)
