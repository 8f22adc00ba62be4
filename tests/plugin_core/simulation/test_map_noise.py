from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.map_noise import (
    NoiseSpectrum,
    Views,
    directional_power,
    draw_map_noise,
)

BOX = 32
SHELLS = np.arange(BOX // 2 + 1)


def full_power(noise: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fftn(noise.astype(np.float64))) ** 2


def density_along_great_circle(views: Views, cosine: float) -> float:
    """Mean density of views at right angles to a direction, by brute force."""
    axis = np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
    turn = np.linspace(0, 2 * np.pi, 20000, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)])
    height = (np.arange(20000) + 0.5) / 20000
    norm = np.exp(views.kappa * height**2).mean()
    preferred = np.exp(views.kappa * (axis @ circle) ** 2).mean() / norm
    return 1 - views.preferred + views.preferred * preferred


def test_noise_has_the_stated_power_in_each_shell(full_shells) -> None:
    spectrum = 5.0 + SHELLS.astype(np.float64) ** 2
    power = directional_power(BOX, spectrum, Views())
    rng = np.random.default_rng(0)
    measured = np.mean([full_shells(full_power(draw_map_noise(power, rng))) for _ in range(20)], 0)
    counts = full_shells(np.ones((BOX,) * 3))
    mean = measured / counts
    # Standard error: 20 draws of `counts` values, half of them independent, of unit exponential.
    error = spectrum * np.sqrt(2 / (20 * counts))
    # A shell's voxels lie within half a shell of it: their mean power is not exactly its own.
    np.testing.assert_array_less(np.abs(mean - spectrum)[2:], (5 * error + 0.02 * spectrum)[2:])


def test_draws_from_one_generator_are_independent() -> None:
    power = directional_power(BOX, np.ones(len(SHELLS)), Views())
    rng = np.random.default_rng(0)
    first, second = (draw_map_noise(power, rng).astype(np.float64) for _ in range(2))
    correlation = (first * second).mean() / (first.std() * second.std())
    assert abs(correlation) < 5 / np.sqrt(BOX**3)


@pytest.mark.parametrize("kappa", [-6.0, 0.5, 8.0])
@pytest.mark.parametrize("cosine", [0.0, 0.3, 0.9, 1.0])
def test_crossing_views_are_the_mean_over_the_great_circle(kappa, cosine) -> None:
    views = Views(kappa=kappa, preferred=0.8)
    expected = density_along_great_circle(views, cosine)
    assert views.crossing(np.array(cosine)) == pytest.approx(expected, rel=1e-6)


def test_even_views_cross_evenly() -> None:
    np.testing.assert_allclose(Views().crossing(np.linspace(0, 1, 5)), 1.0)
    np.testing.assert_allclose(Views(kappa=0.0, preferred=0.9).crossing(np.ones(3)), 1.0)


def test_crossing_views_average_to_one_over_the_sphere() -> None:
    cosine = (np.arange(20000) + 0.5) / 20000  # evenly spread over the sphere
    for kappa in (-8.0, 3.0, 8.0):
        mean = Views(kappa=kappa, preferred=0.95).crossing(cosine).mean()
        assert mean == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("kappa", [6.0, -6.0])
def test_noise_is_strong_where_few_views_cross(kappa, full_radius) -> None:
    views = Views(axis=(1.0, 2.0, 2.0), kappa=kappa, preferred=0.9)
    power = directional_power(BOX, np.full(len(SHELLS), 3.0), views)
    rng = np.random.default_rng(1)
    measured = np.mean([full_power(draw_map_noise(power, rng)) for _ in range(30)], axis=0)
    axis = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = full_radius(BOX)
    cosine = np.abs(x + 2 * y + 2 * z) / (3 * np.maximum(radius, 1))
    shell = (radius > 6) & (radius < 15)
    assert measured[shell].mean() == pytest.approx(3.0, rel=0.03)
    along, across = shell & (cosine > 0.97), shell & (cosine < 0.1)
    ratio = measured[along].mean() / measured[across].mean()
    relative = [density_along_great_circle(views, c) for c in (0.985, 0.05)]
    assert ratio == pytest.approx(relative[1] / relative[0], rel=0.08)
    assert (ratio > 1) == (kappa > 0)


def test_map_noise_is_image_noise_over_ctf_squared_over_views() -> None:
    spectrum = NoiseSpectrum(
        excess=2.0, excess_width=0.05, rise=1.0, defocus_range=(12000.0, 12000.0)
    )
    box, voxel_size = 128, 1.5
    shell = np.array([10, 20, 40])  # not where the CTF is next to 0
    s = shell / (box * voxel_size)
    wavelength = 0.0196875  # Å at 300 kV
    phase = np.pi * wavelength * 12000 * s**2 - np.pi / 2 * 2.7e7 * wavelength**3 * s**4
    ctf = np.sin(phase + np.arcsin(0.1))
    expected = shell * (1 + 2 * np.exp(-((s / 0.05) ** 2)) + s / 0.3) / ctf**2
    np.testing.assert_allclose(spectrum.map_power(box, voxel_size)[shell], expected, rtol=2e-3)


def test_the_default_spectrum_follows_that_of_real_images() -> None:
    """Means of rlnSigma2Noise (1e-6) over the groups of RELION's tutorial set, EMPIAR-10204.

    From run_it016_half1_model.star in the tests of 3dem/emtable; box 256, 1.244835 Å/pixel.
    """
    shell = np.array([5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 128])
    sigma2 = [3.07, 2.84, 2.01, 1.20, 1.35, 1.25, 1.22, 1.31, 1.48, 1.96, 2.40, 2.89, 3.04]
    ratio = np.log(sigma2 / NoiseSpectrum().image_power(shell / (256 * 1.244835)))
    assert ratio.std() < 0.1


def test_a_fraction_of_preferred_views_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not 1"):
        Views(preferred=1.0)
