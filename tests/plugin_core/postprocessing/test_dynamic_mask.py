from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from plugin_core.masks import squared_distance
from plugin_core.postprocessing.dynamic_mask import Margins, dynamic_mask


def ball(box: int, radius: float) -> np.ndarray:
    """1 within `radius` voxels of the origin, 0.19 in two voxels' distance, else -0.1."""
    distance = np.sqrt(squared_distance(box))
    return np.where(distance <= radius, 1.0, np.where(distance < radius + 2, 0.19, -0.1)).astype(
        np.float32
    )


def test_one_to_6_angstrom_half_at_10_none_from_14() -> None:
    mask = dynamic_mask(ball(64, 8), voxel_size=1.0)
    along_x = mask[32, 32, 32:]
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(along_x[: 8 + 7], 1)
    assert along_x[8 + 10] == pytest.approx(0.5, abs=1e-6)
    assert along_x[8 + 8] == pytest.approx(0.5 + 0.5 * np.cos(np.pi / 4), abs=1e-6)
    np.testing.assert_array_equal(along_x[8 + 14 :], 0)


def test_margins_are_lengths_not_voxels() -> None:
    mask = dynamic_mask(ball(32, 4), voxel_size=2.0)
    along_x = mask[16, 16, 16:]
    assert along_x[4 + 3] == 1  # 6 Å
    assert along_x[4 + 5] == pytest.approx(0.5, abs=1e-6)  # 10 Å
    assert along_x[4 + 7] == 0  # 14 Å


def test_margins_in_multiples_of_the_resolution() -> None:
    assert Margins.at_resolution(3.0) == Margins(6.0, 14.0)
    assert Margins.at_resolution(4.0, near=1.0, far=2.5) == Margins(4.0, 10.0)
    mask = dynamic_mask(ball(64, 8), 1.0, margins=Margins.at_resolution(4.0, near=1.0, far=2.5))
    assert mask[32, 32, 32 + 8 + 4] == 1
    assert mask[32, 32, 32 + 8 + 10] == 0


def test_the_threshold_is_a_fraction_of_the_maximum() -> None:
    def volume(threshold: float) -> int:
        return int((dynamic_mask(7 * ball(48, 8), 2.0, threshold) == 1).sum())

    assert volume(0.2) == volume(0.5) < volume(0.18)


def test_density_at_a_face_does_not_reach_round_to_the_other() -> None:
    density = np.zeros((24, 24, 24), dtype=np.float32)
    density[2:5, 20:24, 10] = 1
    mask = dynamic_mask(density, voxel_size=1.5)
    distance = 1.5 * distance_transform_edt(density == 0)
    expected = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 6) / 8, 0, 1))
    np.testing.assert_allclose(mask, expected, atol=1e-6)
    assert mask[:, 0].max() == 0


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.2])
def test_a_threshold_that_is_no_fraction_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        dynamic_mask(ball(16, 3), 1.0, threshold)


def test_a_map_without_density_is_refused() -> None:
    with pytest.raises(ValueError, match="no positive density"):
        dynamic_mask(-np.ones((8, 8, 8), dtype=np.float32), 1.0)


def test_crossed_margins_are_refused() -> None:
    with pytest.raises(ValueError, match="14 and 6 Å"):
        Margins(14.0, 6.0)
