"""relion-blush's arithmetic, against numbers worked out by hand from what is known of it."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.denoising import blush
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators
from plugin_core.weights import Prior, radial_weights

GRID = PaddedGrid(box=16, padding=2, max_shell=7)


@pytest.mark.parametrize(
    ("fsc", "shell"),
    [
        ([1, 0.9, 0.8, 0.5, 0.2, 0.14, 0.3, 0.1, 0.0], 3),  # first below 1/7 = 0.1429 is shell 5
        ([1, 0.9, 0.8, 0.5, 0.2, 0.143, 0.1, 0.0, 0.0], 4),  # 0.143 is not below 1/7
        ([1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], 7),  # never: half the box less one
        ([1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 1),  # or the map would be empty
    ],
)
def test_the_cut_is_two_shells_before_the_first_below_a_seventh(fsc, shell):
    assert blush.trailing_shell(np.array(fsc)) == shell


def wave(box: int, shell: int) -> np.ndarray:
    x = np.arange(box)
    return np.cos(2 * np.pi * shell * x / box).astype(np.float32) * np.ones((box, box, 1), "f4")


def amplitude(volume: np.ndarray, shell: int) -> float:
    """Of the plane wave along x with `shell` periods."""
    return float(2 * np.fft.fftn(volume)[0, 0, shell].real / volume.size)


def never() -> np.ndarray:
    raise AssertionError("the other map is not wanted here")


def test_a_refinement_below_the_networks_nyquist_is_cut_over_two_shells():
    waves = sum(wave(32, shell) for shell in range(1, 16))
    found = blush.finish_refinement(waves, never, 6, network_box=24, trail=True)
    expected = {4: 1, 5: 1, 6: 0.5, 7: 0, 8: 0, 15: 0}
    assert {k: amplitude(found, k) for k in expected} == pytest.approx(expected, abs=1e-5)
    whole = blush.finish_refinement(waves, never, 6, network_box=24, trail=False)
    np.testing.assert_array_equal(whole, waves)


@pytest.mark.parametrize("trail", [True, False])
def test_a_refinement_beyond_the_networks_nyquist_goes_over_and_is_not_cut(trail):
    """A network's box of 24 has 13 planes along x; 13 - 3 = 10 is where it goes over."""
    waves = sum(wave(32, shell) for shell in range(1, 16))
    finish = blush.finish_refinement
    found = finish(waves, lambda: 3 * waves, 11, network_box=24, trail=trail)
    expected = {9: 1, 10: 2, 11: 3, 14: 3}
    assert {k: amplitude(found, k) for k in expected} == pytest.approx(expected, abs=1e-5)
    if trail:
        assert amplitude(finish(waves, never, 10, network_box=24, trail=True), 11) < 1e-5


def test_a_classification_goes_over_one_shell_later():
    waves = sum(wave(32, shell) for shell in range(1, 16))
    found = blush.finish_classification(waves, 3 * waves, network_box=24)
    expected = {9: 1, 10: 1, 11: 2, 12: 3, 15: 3}
    assert {k: amplitude(found, k) for k in expected} == pytest.approx(expected, abs=1e-5)


def test_the_mask_of_a_refinement_mixes_its_units():
    """1.5 Å voxels: an edge of 30 voxels; 40 Å times 1.5 plus 15 is more than (100 - 30) / 2."""
    mask = blush.refinement_mask(100, 40, 1.5)
    # Along x through the middle, at y and z of half a step: linspace(-50, 50, 100).
    axis = np.linspace(-50, 50, 100)
    distance = np.sqrt(axis**2 + 2 * axis[50] ** 2)
    expected = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 20) / 30, 0, 1))
    np.testing.assert_allclose(mask[50, 50], expected, atol=1e-5)
    assert mask[50, 50, 69] == 1  # 19.7 from the middle
    assert mask[50, 50, 0] == 0
    smaller = blush.refinement_mask(100, 10, 1.5)  # radius 10 x 1.5 + 15 = 30, edge from 15 to 45
    assert smaller[50, 50, 64] == 1
    assert smaller[50, 50, 66] < 1
    assert smaller[50, 50, 95] == 0


def test_the_mask_of_a_classification_has_an_edge_of_10_angstrom():
    """2 Å voxels: 5 voxels; 80 Å are a radius of 20, plus 2.5; from 20.5 to 24.5."""
    mask = blush.classification_mask(64, 80, 2.0)
    axis = np.linspace(-32, 32, 64)
    distance = np.sqrt(axis**2 + 2 * axis[32] ** 2)
    expected = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 20.5) / 4, 0, 1))
    np.testing.assert_allclose(mask[32, 32], expected, atol=1e-5)


def test_the_mask_of_coarse_voxels_has_a_hard_edge():
    mask = blush.classification_mask(32, 200, 6.0)  # int(10 / 6) // 2 is 0
    assert set(np.unique(mask)) == {0.0, 1.0}


def padded_radius() -> np.ndarray:
    size = GRID.size
    axis = np.fft.fftfreq(size, 1 / size)
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + np.arange(size // 2 + 1) ** 2)


@pytest.fixture
def arrays() -> Accumulators:
    """Random Hermitian data, and weights that fall with the radius."""
    rng = np.random.default_rng(1)
    size = GRID.size
    transform = np.fft.rfftn(rng.standard_normal((size,) * 3))
    radius = padded_radius()
    weight = (20 + 5 * rng.random(radius.shape)) / (1 + radius)
    weight[3, 4, 5] = 0  # nothing was measured there
    keep = radius < GRID.radius
    return Accumulators(
        *(np.asarray(part * keep, dtype=np.float32) for part in (transform.real, transform.imag)),
        np.asarray(weight * keep, dtype=np.float32),
    )


def expected_map(arrays: Accumulators, added: np.ndarray) -> np.ndarray:
    """D / (W + added) on the whole padded grid in float64, cropped and corrected."""
    size, box = GRID.size, GRID.box
    radius = padded_radius()
    data = arrays.data_real.astype(np.float64) + 1j * arrays.data_imag
    below = np.where(radius < GRID.radius, arrays.weight + added, np.inf)
    volume = np.fft.fftshift(np.fft.irfftn(data / below, (size,) * 3, axes=(0, 1, 2))) * box**2
    first = size // 2 - box // 2
    volume = volume[first : first + box, first : first + box, first : first + box]
    offset = np.indices((box,) * 3) - box // 2
    return volume / np.sinc(np.sqrt((offset**2).sum(axis=0)) / (box * 2)) ** 2


def test_the_unfiltered_map_adds_a_thousandth_of_the_radial_mean(arrays):
    found = blush.unfiltered(arrays, radial_weights(arrays.weight, GRID), 2, np)
    shell = np.floor(padded_radius() + 0.5).astype(int)
    inside = padded_radius() < GRID.radius
    added = np.zeros(shell.shape)
    for k in range(GRID.radius + 1):
        members = (shell == k) & inside
        if members.any():
            added[members] = 1e-3 * arrays.weight[members].mean(dtype=np.float64)
    expected = expected_map(arrays, added)
    assert abs(found - expected).max() < 1e-5 * abs(expected).max()


def test_the_prior_is_interpolated_between_shells_and_applied_to_all(arrays):
    tau2 = np.array([2.0, 1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.02, 0.0])
    prior = Prior(tau2, 4.0, 5)  # RELION would leave shells below 5 alone
    found = blush.regularised(arrays, radial_weights(arrays.weight, GRID), prior, 2, np)
    term = np.append(1 / (2**3 * 4 * tau2[:-1]), 0)
    expected = expected_map(arrays, np.interp(padded_radius() / 2, np.arange(9), term))
    assert abs(found - expected).max() < 1e-5 * abs(expected).max()
