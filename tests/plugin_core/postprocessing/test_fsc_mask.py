from __future__ import annotations

import numpy as np

from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import soft_sphere
from plugin_core.postprocessing.fsc_mask import fsc_mask


def mask_of(pair, support: np.ndarray, half1: np.ndarray, half2: np.ndarray) -> np.ndarray:
    fsc = fourier_shell_correlation(half1 * support, half2 * support)
    return fsc_mask(half1, half2, support, fsc, pair.voxel_size)


def test_the_mask_holds_the_density_and_little_else(pair) -> None:
    support = soft_sphere(pair.box, 24, 5)
    mask = mask_of(pair, support, pair.half1, pair.half2)
    assert mask.shape == pair.half1.shape
    assert mask.dtype == np.float32
    dense = pair.signal > 0.3 * pair.signal.max()
    assert mask[dense].min() > 0.95
    assert 0.05 < mask.mean() < 0.8 * support.mean()


def test_the_mask_ends_with_the_support(pair) -> None:
    support = soft_sphere(pair.box, 10, 3)
    assert (mask_of(pair, support, pair.half1, pair.half2) <= support).all()


def test_density_outside_the_support_is_no_matter(pair) -> None:
    """A bright artefact in a corner would set the threshold."""
    support = soft_sphere(pair.box, 24, 5)
    bright = np.zeros_like(pair.half1)
    bright[2:6, 2:6, 2:6] = 50 * pair.signal.max()
    halves = [half + bright for half in (pair.half1, pair.half2)]
    difference = mask_of(pair, support, *halves) - mask_of(pair, support, pair.half1, pair.half2)
    assert abs(difference).mean() < 0.02
