"""FSC curves of maps whose correlation is known, and what is read off a curve."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core import fsc


def white(box: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((box, box, box), dtype=np.float32)


@pytest.mark.parametrize("box", [16, 17])
def test_fsc_is_the_normalised_correlation_on_the_full_grid(xp, full_shells, box):
    rng = np.random.default_rng(0)
    map1, map2 = white(box, rng), white(box, rng)
    map2 += map1
    transform1, transform2 = np.fft.fftn(map1.astype(float)), np.fft.fftn(map2.astype(float))
    cross = full_shells((transform1 * transform2.conj()).real)
    norm = np.sqrt(full_shells(np.abs(transform1) ** 2) * full_shells(np.abs(transform2) ** 2))
    found = fsc.fourier_shell_correlation(xp.asarray(map1), xp.asarray(map2))
    assert found.shape == (box // 2 + 1,)
    np.testing.assert_allclose(found, cross / norm, rtol=0, atol=1e-6)


def test_fsc_of_a_map_with_itself_and_with_its_negative():
    volume = white(12, np.random.default_rng(0))
    np.testing.assert_allclose(fsc.fourier_shell_correlation(volume, 3 * volume), 1, atol=1e-6)
    np.testing.assert_allclose(fsc.fourier_shell_correlation(volume, -volume), -1, atol=1e-6)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_fsc_of_a_known_mixture(noise):
    """One signal in two noises: SNR / (1 + SNR), and half of that power is in the joined map."""
    box = 48
    rng = np.random.default_rng(1)
    signal = white(box, rng)
    halves = [signal + noise * white(box, rng) for _ in range(2)]
    found = fsc.fourier_shell_correlation(*halves)[6:]
    expected = 1 / (1 + noise**2)
    independent_voxels = 2 * np.pi * np.arange(6, box // 2 + 1) ** 2
    assert np.all(abs(found - expected) < 4 * (1 - expected**2) / np.sqrt(independent_voxels))
    assert found.mean() == pytest.approx(expected, abs=0.01)
    joined = 1 / (1 + noise**2 / 2)
    assert fsc.joined_fsc(found).mean() == pytest.approx(joined, abs=0.01)


def test_shells_without_power_have_no_correlation():
    volume = white(8, np.random.default_rng(0))
    np.testing.assert_array_equal(fsc.fourier_shell_correlation(volume, 0 * volume), np.zeros(5))


def test_maps_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(8, 8, 8\) and \(9, 9, 9\)"):
        fsc.fourier_shell_correlation(np.ones((8, 8, 8)), np.ones((9, 9, 9)))


@pytest.mark.parametrize(
    ("half", "joined"), [(0, 0), (1 / 3, 0.5), (1, 1), (-0.4, 0), (1 / 7, 0.25)]
)
def test_signal_fraction_of_the_joined_map(half, joined):
    assert fsc.joined_fsc(np.array([half])) == pytest.approx(joined)


@pytest.mark.parametrize(
    ("curve", "shell"),
    [
        ([1, 0.9, 0.5, 0.1, 0.05], 2),
        ([1, 0.9, 0.1, 0.9, 0.9], 1),  # a later rise does not count
        ([1, 0.9, 0.8], 2),  # never drops
        ([1, 0.1, 0.9], 0),  # starts below
        ([0, 0.9, 0.1], 1),  # shell 0 is not looked at
        ([1, 0.143, 0.1429], 1),  # the threshold itself is above
        ([1], 0),
    ],
)
def test_last_shell_above(curve, shell):
    assert fsc.last_shell_above(np.array(curve)) == shell


def test_last_shell_above_another_threshold():
    assert fsc.last_shell_above(np.array([1, 0.9, 0.5, 0.2]), threshold=0.5) == 2
