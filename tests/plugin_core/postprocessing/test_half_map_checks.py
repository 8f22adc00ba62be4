from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import rotate

from plugin_core.fourier import (
    apply_radial,
    butterworth,
    irfftn,
    radii,
    raised_cosine_low_pass,
    rfftn,
)
from plugin_core.masks import soft_sphere
from plugin_core.postprocessing.half_map_checks import (
    NO_AGREEMENT,
    WANTED,
    check_half_maps,
    disagreement_warning,
    low_resolution_agreement,
)


def filtered(volume: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return irfftn(apply_radial(rfftn(volume), gain), volume.shape[0])


def test_raw_half_maps_pass(pair) -> None:
    assert check_half_maps(pair.half1, pair.half2, pair.voxel_size) == []


def test_empty_corners_are_no_mask(pair) -> None:
    """RELION fills the corners of every map with a constant."""
    sphere = soft_sphere(pair.box, 31, 3)
    halves = [half * sphere for half in (pair.half1, pair.half2)]
    assert check_half_maps(*halves, pair.voxel_size) == []


@pytest.mark.parametrize("background", [0.0, 0.3])
def test_masked_half_maps_are_told(pair, background: float) -> None:
    halves = [h * pair.mask + background * (1 - pair.mask) for h in (pair.half1, pair.half2)]
    found = check_half_maps(*halves, pair.voxel_size)
    assert found[0].startswith("Half-map 1 has been masked")
    assert found[1].startswith("Half-map 2 has been masked")
    assert found[2] == WANTED
    assert len(found) == 3


@pytest.mark.parametrize(
    "gain",
    [
        raised_cosine_low_pass(radii(64), 20, 2.0),
        butterworth(radii(64), 16, 8),
        np.exp(-((radii(64) / 12) ** 2)),
    ],
    ids=["cosine edge", "Butterworth", "Gaussian"],
)
def test_filtered_half_maps_are_told(pair, gain: np.ndarray) -> None:
    halves = [filtered(half, gain) for half in (pair.half1, pair.half2)]
    found = check_half_maps(*halves, pair.voxel_size)
    assert [warning[:34] for warning in found] == [
        "Half-map 1 has been low-pass filte",
        "Half-map 2 has been low-pass filte",
        WANTED[:34],
    ]


def test_the_resolution_where_nothing_is_left_is_named(pair) -> None:
    gain = raised_cosine_low_pass(radii(64), 19, 2.0)  # shell 20, 96 Å / 20, is the first
    found = check_half_maps(pair.half1, filtered(pair.half2, gain), pair.voxel_size)
    assert len(found) == 2
    assert "Half-map 2" in found[0]
    assert "nothing is left at 4.8 Å" in found[0]


def test_sharpened_noise_is_not_called_filtered(pair) -> None:
    """Noise of raw maps rises or falls with resolution by ten times or so."""
    for slope in (-1.2, 1.2):
        gain = np.exp(slope * (radii(64) / 32) ** 2)
        halves = [filtered(half, gain) for half in (pair.half1, pair.half2)]
        assert check_half_maps(*halves, pair.voxel_size) == []


@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_the_same_map_twice_is_told(pair, factor: float) -> None:
    found = check_half_maps(pair.half1, factor * pair.half1, pair.voxel_size)
    assert len(found) == 2
    assert "are the same map" in found[0]


def test_shared_noise_is_told(pair) -> None:
    shared = pair.half1 + np.float32(0.5) * pair.half2
    found = check_half_maps(pair.half1, shared, pair.voxel_size)
    assert len(found) == 2
    assert "never falls below 0.143" in found[0]


def test_a_rotated_half_is_told(pair) -> None:
    """Seen at 4 Å a voxel, with less noise: a particle of 100 Å, known to 20 Å."""
    half1, half2 = (pair.signal + np.float32(0.2) * h for h in (pair.half1, pair.half2))
    assert check_half_maps(half1, half2, 4.0) == []
    turned = rotate(half2, 90, axes=(0, 1), reshape=False, order=1, mode="wrap")
    found = check_half_maps(half1, turned, 4.0)
    assert len(found) == 1
    assert "they are not superposed" in found[0]


def test_a_shifted_half_is_told(pair) -> None:
    found = check_half_maps(pair.half1, np.roll(pair.half2, 12, axis=1), pair.voxel_size)
    assert len(found) == 1
    assert "they are not superposed" in found[0]


def test_reversed_contrast_is_told(pair) -> None:
    found = check_half_maps(pair.half1, -pair.half2, pair.voxel_size)
    assert len(found) == 1
    assert "multiply it by -1" in found[0]


def test_maps_of_low_resolution_agree_well_enough():
    """An FSC that falls to 0.143 at 30 Å: warned of, and regularised all the same."""
    fsc = np.interp(np.arange(65), [0, 17], [1, 0.143])  # a box of 512 Å
    assert disagreement_warning(fsc, 128, 4.0) is not None
    assert low_resolution_agreement(fsc, 128, 4.0) > NO_AGREEMENT
