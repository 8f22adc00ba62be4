from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from plugin_core import fourier
from plugin_core.denoising.training import augmentation

BOX = 32


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 2.0])
def test_coloured_noise_has_unit_deviation_and_the_spectrum_asked_for(exponent):
    rng = np.random.default_rng(0)
    volumes = [
        fourier.irfftn(augmentation.coloured_noise(BOX, exponent, rng), BOX) for _ in range(40)
    ]
    assert np.mean([v.std() for v in volumes]) == pytest.approx(1, rel=0.05)
    power = np.mean([fourier.shell_power(v, BOX // 2) for v in volumes], axis=0)
    expected = (1.0 + np.arange(BOX // 2)) ** (-2 * exponent)
    ratio = (power / expected)[3:]
    # Shells of some hundred voxels, 40 draws: a few per cent; the width of a shell adds its own.
    assert ratio / ratio.mean() == pytest.approx(np.ones_like(ratio), rel=0.15)


def test_blur_is_that_of_a_b_factor_tensor():
    voxel_size, b = 1.5, np.diag([0.0, 80.0, 0.0])  # along y only
    volume = np.zeros((BOX,) * 3, dtype=np.float32)
    volume[BOX // 2, BOX // 2, BOX // 2] = 1
    blurred = augmentation.blur(fourier.rfftn(volume), b, voxel_size)
    gain = np.abs(blurred)
    frequency = np.fft.fftfreq(BOX, voxel_size)
    assert gain[0, :, 0] == pytest.approx(np.exp(-80 * frequency**2 / 4), rel=1e-5)
    assert gain[:, 0, 3] == pytest.approx(np.ones(BOX), rel=1e-5)


def test_random_blur_has_b_factors_within_the_range_in_random_directions():
    rng = np.random.default_rng(1)
    tensors = [augmentation.random_blur(60.0, rng) for _ in range(200)]
    values = np.linalg.eigvalsh(tensors)
    assert values.min() >= -1e-9
    assert values.max() <= 60 + 1e-9
    assert np.mean(values) == pytest.approx(30, rel=0.1)
    assert np.mean(tensors, axis=0) == pytest.approx(30 * np.eye(3), abs=4)


def test_infill_keeps_the_molecule_and_15_angstrom_of_the_rest():
    rng = np.random.default_rng(2)
    volume = rng.standard_normal((BOX,) * 3).astype(np.float32)
    mask = np.zeros_like(volume)
    mask[:, :, : BOX // 2] = 1
    filled = augmentation.infill(volume, mask, voxel_size=1.5)
    assert filled[:, :, : BOX // 2] == pytest.approx(volume[:, :, : BOX // 2], abs=1e-6)
    outside = filled * (1 - mask)
    assert outside.std() < 0.2 * (volume * (1 - mask)).std()
    everything = augmentation.infill(volume, np.zeros_like(mask), voxel_size=1.5)
    power = fourier.shell_power(everything, BOX // 2)
    cutoff = BOX * 1.5 / augmentation.INFILL_ANGSTROM  # 3.2 shells
    assert power[int(cutoff) + 3 :].max() < 1e-8 * power[: int(cutoff) - 1].min()
