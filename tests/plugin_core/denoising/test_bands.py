"""Which map a frequency comes from, by hand and by maps that are distinct plane waves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from plugin_core.denoising.bands import bands, combine


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
    found = combine(xp.asarray(denoised), split, lambda: xp.asarray(wiener))
    expected = 2 * wave(64, 5) + 2.5 * wave(64, 18) + 3 * wave(64, 24)
    np.testing.assert_allclose(xp.asnumpy(found) if xp is not np else found, expected, atol=1e-5)


def test_the_wiener_map_is_not_made_in_vain():
    def never() -> np.ndarray:
        raise AssertionError

    split = bands(64, max_shell=30, nyquist_shell=20, cut=(10, 12))
    found = combine(wave(64, 5) + wave(64, 14), split, never)
    np.testing.assert_allclose(found, wave(64, 5), atol=1e-5)
