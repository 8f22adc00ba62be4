"""Noise power against the noise that was put in."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core import noise
from plugin_core.fourier import shell_power
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import soft_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import reconstruct
from plugin_core.simulation.accumulators import accumulate
from plugin_core.weights import radial_weights


@pytest.mark.parametrize("data_dimension", [2, 3])
@pytest.mark.parametrize(("padding", "max_shell"), [(1, 16), (2, 16), (2, 10)])
def test_weights_tell_the_noise_of_the_raw_map(padding, max_shell, data_dimension):
    box = 32
    grid = PaddedGrid(box, padding, max_shell)
    weight = 500 / (1 + np.arange(max_shell + 1.0))
    empty = np.zeros((box,) * 3, np.float32)
    arrays = accumulate(empty, grid, weight, np.random.default_rng(0))
    radial = radial_weights(arrays.weight, grid)
    raw = reconstruct(arrays, radial, None, data_dimension=data_dimension)
    support = soft_sphere(box, 10, 5)
    measured = shell_power(raw * support, max_shell + 1) / (support**2).mean()
    predicted = noise.from_weights(radial, data_dimension)
    assert predicted.shape == (max_shell + 1,)
    ratio = (measured / predicted)[4 : max_shell - 2]
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert np.ptp(ratio) < 0.4


def test_shells_without_weight_have_no_noise():
    grid = PaddedGrid(16, 1, 8)
    weight = np.ones(9)
    weight[6:] = 0
    arrays = accumulate(np.zeros((16,) * 3, np.float32), grid, weight, None)
    predicted = noise.from_weights(radial_weights(arrays.weight, grid))
    assert (predicted[:6] > 0).all()
    np.testing.assert_array_equal(predicted[6:], 0)


def test_the_fsc_tells_the_noise_of_a_half_map(xp):
    """Two half-maps of one signal, in noise of a known spectrum, inside a mask."""
    box, deviation = 48, 0.7
    rng = np.random.default_rng(0)
    support = soft_sphere(box, 14, 5)
    signal = rng.standard_normal((box,) * 3, dtype=np.float32) * soft_sphere(box, 8, 3)
    halves = [
        signal + np.float32(deviation) * rng.standard_normal((box,) * 3, dtype=np.float32)
        for _ in range(2)
    ]
    fsc = fourier_shell_correlation(*(half * support for half in halves))
    found = noise.from_fsc(xp.asarray(halves[0]), xp.asarray(support), fsc)
    assert found.shape == (box // 2 + 1,)
    ratio = found[5:] / (deviation**2 * box**3)
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert np.ptp(ratio) < 0.4


@pytest.mark.parametrize(("fsc", "fraction"), [(-0.5, 1), (0, 1), (0.25, 0.75), (1, 0), (1.2, 0)])
def test_the_noise_is_what_the_fsc_leaves(fsc, fraction):
    volume = np.random.default_rng(0).standard_normal((12,) * 3, dtype=np.float32)
    found = noise.from_fsc(volume, np.ones_like(volume), np.full(7, fsc))
    np.testing.assert_allclose(found, fraction * shell_power(volume, 7))
