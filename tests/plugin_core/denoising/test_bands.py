"""Which map a frequency comes from, by hand and by maps that are distinct plane waves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from plugin_core.denoising.bands import NETWORK_ERROR, bands, combine, half_map_share


def gain_at(gains: np.ndarray, shell: float) -> float:
    return float(gains[round(shell**2)])


def test_without_fsc_the_wiener_map_takes_over_at_the_networks_nyquist():
    """Half from either two shells before it, 1.5 shells about."""
    split = bands(64, max_shell=30, nyquist_shell=20, cut=None)
    for shell, wanted in ((0, 1), (16, 1), (17, 0.75), (18, 0.5), (19, 0.25), (20, 0), (30, 0)):
        # A raised cosine from 16.5 to 19.5: 0.5 + 0.5 cos(pi (1 / 2 + (shell - 18) / 3)).
        if shell in (17, 19):
            wanted = 0.5 + 0.5 * np.cos(np.pi * (0.5 + (shell - 18) / 3))
        assert gain_at(split.denoised, shell) == pytest.approx(wanted)
        assert gain_at(split.wiener, shell) == pytest.approx(1 - wanted)
    assert gain_at(split.wiener, 31) == 0


def test_a_map_coarser_than_the_network_is_all_denoised():
    split = bands(64, max_shell=32, nyquist_shell=32, cut=None)
    assert not split.wiener.any()
    assert gain_at(split.denoised, 32) == 1
    assert gain_at(split.denoised, 33) == 0


def test_the_denoised_map_ends_before_the_evidence_and_wants_no_other():
    split = bands(64, max_shell=30, nyquist_shell=20, cut=(10, 12))
    assert not split.wiener.any()
    assert gain_at(split.denoised, 8) == 1
    assert gain_at(split.denoised, 10) == pytest.approx(0.5)
    assert gain_at(split.denoised, 12) == 0


def test_evidence_beyond_the_network_is_the_wiener_maps():
    """It ends where the FSC does, not two shells before: it is attenuated by it already."""
    split = bands(64, max_shell=30, nyquist_shell=20, cut=(25, 27))
    assert gain_at(split.denoised, 18) == pytest.approx(0.5)
    assert gain_at(split.wiener, 24) == 1
    assert gain_at(split.wiener, 27) == pytest.approx(0.5)
    assert gain_at(split.wiener, 29) == 0


def wave(box: int, shell: int) -> np.ndarray:
    return np.cos(2 * np.pi * shell * np.arange(box) / box).astype(np.float32) * np.ones(
        (box, box, 1), np.float32
    )


def test_both_maps_are_combined_by_their_gains(xp):
    split = bands(64, max_shell=30, nyquist_shell=20, cut=(25, 27))
    denoised = 2 * (wave(64, 5) + wave(64, 18) + wave(64, 24))
    wiener = 3 * (wave(64, 5) + wave(64, 18) + wave(64, 24))
    found = combine(xp.asarray(denoised), split, never, lambda: xp.asarray(wiener))
    expected = 2 * wave(64, 5) + 2.5 * wave(64, 18) + 3 * wave(64, 24)
    np.testing.assert_allclose(xp.asnumpy(found) if xp is not np else found, expected, atol=1e-5)


def never() -> np.ndarray:
    raise AssertionError


def test_no_map_is_made_in_vain():
    split = bands(64, max_shell=30, nyquist_shell=20, cut=(10, 12))
    found = combine(wave(64, 5) + wave(64, 14), split, never, never)
    np.testing.assert_allclose(found, wave(64, 5), atol=1e-5)


def test_the_share_of_the_half_map_is_that_of_the_least_error():
    """Found by trying, on random numbers with the errors that are assumed."""
    fsc = np.array([0.9999, 0.99, 0.97, 0.8, 0.0, -0.1])
    found = half_map_share(np.arange(6.0), fsc)
    assert found[0] > 0.99
    assert found[4] == found[5] == 0
    rng = np.random.default_rng(1)
    signal, noise, wrong = rng.standard_normal((3, 400_000))
    weights = np.linspace(0, 1, 401)
    for shell in (1, 2, 3):
        half_map = signal + noise * np.sqrt(1 / fsc[shell] - 1)
        denoised = signal + wrong * np.sqrt(NETWORK_ERROR)
        a, b = half_map - signal, denoised - signal
        # Mean of (w a + (1 - w) b)^2, for all weights at once.
        error = weights**2 * np.mean(a * a) + (1 - weights) ** 2 * np.mean(b * b)
        error += 2 * weights * (1 - weights) * np.mean(a * b)
        assert found[shell] == pytest.approx(weights[np.argmin(error)], abs=0.01)


def test_half_map_and_denoised_map_make_one_map(xp):
    fsc = np.interp(np.arange(33), [0, 10, 20, 32], [0.999, 1 / (1 + NETWORK_ERROR), 0, 0])
    split = bands(64, max_shell=30, nyquist_shell=32, cut=None, fsc=fsc)
    radius = np.sqrt(np.arange(30**2))
    np.testing.assert_allclose((split.denoised + split.half_map)[: 30**2], 1)
    assert np.all(np.diff(split.half_map[: len(radius)]) <= 1e-12)
    waves = wave(64, 10) + wave(64, 25)
    found = combine(xp.asarray(2 * waves), split, lambda: xp.asarray(4 * waves), never)
    expected = 3 * wave(64, 10) + 2 * wave(64, 25)
    np.testing.assert_allclose(xp.asnumpy(found) if xp is not np else found, expected, atol=1e-5)


def test_the_half_map_ends_with_the_denoised_one():
    split = bands(64, max_shell=30, nyquist_shell=20, cut=(10, 12), fsc=np.full(33, 0.9999))
    assert gain_at(split.half_map, 8) > 0.99
    assert gain_at(split.half_map, 12) == 0


def test_joined_shells_are_no_evidence():
    """An FSC of 1 where RELION made the half-maps alike tells nothing of their noise."""
    fsc = np.array([1, 1, 1 - 1e-7, 0.9, 0.95, 0.5, 0, 0, 0.0])
    share = half_map_share(np.arange(9.0), fsc)
    np.testing.assert_array_equal(share[:3], share[4])
    assert share[3] < share[4] < 0.5
    assert not half_map_share(np.arange(3.0), np.ones(3)).any()
