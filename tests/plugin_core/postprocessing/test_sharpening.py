from __future__ import annotations

import numpy as np
import pytest

from plugin_core.fourier import rfftn, squared_radius
from plugin_core.postprocessing.sharpening import sharpened_map

BOX, VOXEL_SIZE = 40, 2.0
RADIUS = np.sqrt(squared_radius(BOX))


def gain_of(fsc: np.ndarray, b_factor: float) -> np.ndarray:
    """Amplitude gain at every Fourier voxel, read off a single point."""
    point = np.zeros((BOX, BOX, BOX), dtype=np.float32)
    point[0, 0, 0] = 1
    sharpened = sharpened_map(point, fsc, VOXEL_SIZE, b_factor)
    assert sharpened.dtype == np.float32
    return rfftn(sharpened).real


def test_a_perfect_map_is_multiplied_by_the_b_factor_alone() -> None:
    fsc = np.where(np.arange(21) <= 15, 1.0, 0.0)
    gain = gain_of(fsc, b_factor=-100.0)
    inside = RADIUS < 14
    expected = np.exp(25 * (RADIUS[inside] / (BOX * VOXEL_SIZE)) ** 2)
    np.testing.assert_allclose(gain[inside], expected, rtol=1e-4)


def test_positive_b_factors_blur() -> None:
    gain = gain_of(np.ones(21), b_factor=100.0)
    assert gain[0, 0, 10] == pytest.approx(np.exp(-25 / 64), rel=1e-4)


def test_shells_are_weighted_by_their_fsc() -> None:
    fsc = np.full(21, 0.5)
    assert gain_of(fsc, 0.0)[3, 4, 5] == pytest.approx(np.sqrt(2 / 3), rel=1e-4)


def test_nothing_passes_beyond_the_resolution() -> None:
    fsc = np.where(np.arange(21) <= 10, 1.0, 0.14)
    fsc[16:] = 0.9  # a bump beyond the first drop is not resolution
    gain = gain_of(fsc, -200.0)
    assert abs(gain[RADIUS > 11.01]).max() < 1e-5
    assert gain[0, 0, 10] == pytest.approx(0.5 * np.exp(50 / 64), rel=1e-4)
    assert gain[0, 0, 9] == pytest.approx(np.exp(50 * 81 / 6400), rel=1e-4)


def test_a_map_without_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"starts below 0\.143"):
        sharpened_map(np.zeros((8, 8, 8), dtype=np.float32), np.zeros(5), 1.0, -50.0)
