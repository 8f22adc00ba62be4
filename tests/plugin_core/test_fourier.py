"""Transforms, radial filters and shell sums against the full grid in float64."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core import fourier
from plugin_core.backend import to_host

BOXES = (12, 15)


def random_map(box: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((box, box, box), dtype=np.float32)


def test_butterworth_gain_at_the_cutoff_is_one_over_root_two():
    for order in (1, 4, 8):
        assert fourier.butterworth(7.5, 7.5, order) == pytest.approx(1 / np.sqrt(2), rel=1e-12)


def test_butterworth_is_one_at_zero_and_falls_by_two_to_the_order_per_octave():
    gain = fourier.butterworth(np.array([0, 40, 80]), 5.0, 8)
    assert gain[0] == 1
    assert gain[1] / gain[2] == pytest.approx(2**8, rel=1e-6)
    assert fourier.butterworth(np.array([0.5]), 5.0, 8) == pytest.approx(1, abs=1e-12)


def test_butterworth_far_beyond_the_cutoff_is_zero_without_a_warning():
    assert fourier.butterworth(np.array([1e6]), 1.0, 64) == 0


@pytest.mark.parametrize(
    ("radius", "gain"),
    [(0, 1), (8.5, 1), (9.25, 0.5 + np.sqrt(0.125)), (10, 0.5), (11.5, 0), (30, 0)],
)
def test_raised_cosine(radius, gain):
    assert fourier.raised_cosine_low_pass(radius, 10, 3) == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize("box", BOXES)
def test_transform_and_back(xp, box):
    volume = random_map(box)
    transform = fourier.rfftn(xp.asarray(volume))
    np.testing.assert_allclose(
        to_host(transform), np.fft.rfftn(volume.astype(np.float64)), rtol=0, atol=1e-4
    )
    assert transform.dtype == np.complex64
    back = fourier.irfftn(transform, box)
    assert back.dtype == np.float32
    np.testing.assert_allclose(to_host(back), volume, rtol=0, atol=1e-5)


@pytest.mark.parametrize("box", BOXES)
def test_squared_radius_is_the_half_of_the_full_grid(xp, full_radius, box):
    found = to_host(fourier.squared_radius(box, xp))
    np.testing.assert_array_equal(found, np.rint(full_radius(box)[..., : box // 2 + 1] ** 2))


@pytest.mark.parametrize("box", BOXES)
def test_a_radial_gain_filters_as_on_the_full_grid(xp, full_filter, box):
    def gain(radius):
        return np.exp(-((radius / 4) ** 2)) + 0.1 * radius

    volume = random_map(box)
    transform = fourier.apply_radial(fourier.rfftn(xp.asarray(volume)), gain(fourier.radii(box)))
    found = to_host(fourier.irfftn(transform, box))
    np.testing.assert_allclose(found, full_filter(volume, gain), rtol=0, atol=2e-6)


@pytest.mark.parametrize("box", BOXES)
def test_shell_sums_count_friedel_mates_as_the_full_grid_does(xp, full_shells, box):
    volume = random_map(box)
    power = np.abs(np.fft.fftn(volume.astype(np.float64))) ** 2
    half = xp.asarray(power[..., : box // 2 + 1], dtype=np.float32)
    found = fourier.shell_sums(half, fourier.squared_radius(box, xp), box // 2 + 1)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, full_shells(power), rtol=1e-6)


@pytest.mark.parametrize("box", BOXES)
def test_shell_counts_number_the_voxels_of_the_full_grid(full_radius, full_shells, box):
    shells = box // 2 + 1
    np.testing.assert_array_equal(
        fourier.shell_counts(box, shells), full_shells(np.ones((box, box, box)))
    )
    farthest = int(full_radius(box).max() + 0.5)
    assert fourier.shell_counts(box, farthest + 1).sum() == box**3


def test_a_plane_wave_has_its_power_in_its_own_shell(xp):
    box, amplitude = 16, 3.0
    x = np.arange(box)
    wave = amplitude * np.cos(2 * np.pi * (3 * x[:, None, None] + 4 * x) / box)
    power = fourier.shell_power(xp.asarray(np.broadcast_to(wave, (box,) * 3), np.float32), 9)
    # Two voxels, (3, 0, 4) and its mate, hold (amplitude box^3 / 2)^2 each.
    total = power * fourier.shell_counts(box, 9)
    assert total[5] == pytest.approx(2 * (amplitude * box**3 / 2) ** 2, rel=1e-5)
    assert np.delete(total, 5).max() < 1e-6 * total[5]


def test_resolution_of_a_shell():
    assert fourier.shell_to_angstrom(10, 200, 1.5) == 30
    assert fourier.shell_to_angstrom(0, 200, 1.5) == np.inf
