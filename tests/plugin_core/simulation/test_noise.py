from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.noise import draw_noise, randomise_phases, signal_scale


def shell_powers(images: np.ndarray) -> np.ndarray:
    box = images.shape[-1]
    ky, kx = np.fft.fftfreq(box, 1 / box)[:, None], np.fft.rfftfreq(box, 1 / box)[None]
    shell = np.rint(np.hypot(kx, ky)).astype(int)
    power = (np.abs(np.fft.rfft2(images)) ** 2).mean(axis=0)
    return np.bincount(shell.ravel(), power.ravel()) / np.bincount(shell.ravel())


def test_white_noise_has_variance_one_and_a_flat_spectrum() -> None:
    noise = draw_noise(400, 32, np.random.default_rng(0))
    assert noise.dtype == np.float32
    assert noise.var() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(shell_powers(noise)[2:16] / 32**2, 1.0, atol=0.05)


def test_coloured_noise_has_variance_one_and_the_spectrum_asked_for() -> None:
    amplitude = 1.0 / (1.0 + np.arange(17) / 4.0)
    noise = draw_noise(400, 32, np.random.default_rng(0), amplitude)
    assert noise.dtype == np.float32
    assert noise.var() == pytest.approx(1.0, abs=0.02)
    powers = shell_powers(noise)
    np.testing.assert_allclose(
        powers[2:16] / powers[2:16].sum(),
        amplitude[2:16] ** 2 / (amplitude[2:16] ** 2).sum(),
        rtol=0.1,
    )


def test_signal_to_noise_is_the_ratio_of_variances() -> None:
    signals = np.random.default_rng(0).normal(5.0, 3.0, (10, 64, 64)).astype(np.float32)
    scale = signal_scale(signals, 0.02)
    assert np.var(scale * signals) == pytest.approx(0.02, rel=0.01)


def test_empty_signals_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        signal_scale(np.zeros((2, 8, 8), np.float32), 0.1)


def test_phases_are_random_beyond_a_shell_only() -> None:
    images = draw_noise(50, 32, np.random.default_rng(1)) + np.float32(0.3)
    found = randomise_phases(images, 6.0, np.random.default_rng(2))
    before, after = np.fft.rfft2(images), np.fft.rfft2(found)
    radius = np.hypot(np.fft.fftfreq(32, 1 / 32)[:, None], np.arange(17))
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=0, atol=2e-3)
    np.testing.assert_allclose(after[:, radius <= 6], before[:, radius <= 6], rtol=0, atol=2e-3)
    beyond = radius > 6
    agreement = np.mean(np.cos(np.angle(after[:, beyond] / before[:, beyond])))
    assert abs(agreement) < 4 / np.sqrt(0.5 * 50 * beyond.sum())
