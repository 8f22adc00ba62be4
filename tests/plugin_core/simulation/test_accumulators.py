"""Simulated arrays have RELION's layout; what a reconstruction makes of them is tested there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from plugin_core.padded_grid import PaddedGrid
from plugin_core.simulation.accumulators import accumulate

WEIGHT = np.array([9.0, 8, 7, 6, 5, 4])


def squared_padded_radius(grid: PaddedGrid) -> np.ndarray:
    axis = np.fft.fftfreq(grid.size, 1 / grid.size) ** 2
    return axis[:, None, None] + axis[:, None] + axis[: grid.size // 2 + 1]


@pytest.mark.parametrize("padding", [1, 2])
def test_arrays_are_relions(padding):
    grid = PaddedGrid(16, padding, 5)
    point = np.zeros((16,) * 3, np.float32)
    point[8, 8, 8] = 1
    arrays = accumulate(point, grid, WEIGHT, None)
    for array in dataclasses.astuple(arrays):
        assert array.shape == grid.shape
        assert array.dtype == np.float32
    radius2 = squared_padded_radius(grid)
    inside = radius2 < grid.radius**2
    shell = np.floor(np.sqrt(radius2) / padding + 0.5).astype(int)
    expected = np.where(inside, WEIGHT[np.minimum(shell, 5)], 0)
    np.testing.assert_array_equal(arrays.weight, expected)
    # The transform of a point at the origin is one everywhere, in RELION's units 1 / N^2.
    np.testing.assert_allclose(arrays.data_real, expected / 16**2, atol=1e-7)
    np.testing.assert_allclose(arrays.data_imag, 0, atol=1e-7)


def test_noise_has_the_weight_as_its_variance():
    grid = PaddedGrid(32, 1, 16)
    weight = np.full(17, 4.0)
    arrays = accumulate(np.zeros((32,) * 3, np.float32), grid, weight, np.random.default_rng(0))
    inside = squared_padded_radius(grid) < 15**2
    inside[..., 0] = False  # there, half of the voxels are mates of the other half
    fall_off = np.sinc(np.fft.fftshift(np.fft.fftfreq(32))) ** 4
    expected = 4.0 * fall_off.mean() ** 3  # of an image's noise inserted by trilinear interpolation
    for part in (arrays.data_real, arrays.data_imag):
        assert part[inside].var() == pytest.approx(expected, rel=0.05)
