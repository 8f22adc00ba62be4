from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.belt import BeltMaker, BeltShape, Slab
from plugin_core.simulation.belt_map import average_belt, low_passed
from plugin_core.simulation.projection import Atoms

BOX, VOXEL = 64, 2.5


@pytest.fixture
def belts() -> BeltMaker:
    """About a rod of 15 Å radius along z; every particle's belt has the same outline."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (20000, 3)) * (15, 15, 40)
    points = points[np.hypot(points[:, 0], points[:, 1]) < 15].astype(np.float32)
    ones = np.ones(len(points), np.float32)
    shape = BeltShape(
        width=25.0, width_sd=0, half_thickness=20.0, half_thickness_sd=0, ellipticity_sd=0,
        offset_sd=0, rim_contrast=0.8, core_contrast=0.2,
    )  # fmt: skip
    slab = Slab(np.array([0.0, 0.0, 1.0]), np.zeros(3), 30.0)
    return BeltMaker(Atoms(points, ones, ones), slab, shape)


def test_contrast_is_that_of_the_shape(belts) -> None:
    contrast = average_belt(belts, 200, BOX, VOXEL, np.random.default_rng(1))
    assert contrast.dtype == np.float32
    middle = contrast[BOX // 2 - 3 : BOX // 2 + 4].mean(axis=0)
    distance = VOXEL * np.hypot(*np.ogrid[-BOX // 2 : BOX // 2, -BOX // 2 : BOX // 2])
    assert middle[distance < 12].max() == 0
    assert middle[(distance > 22) & (distance < 28)].mean() == pytest.approx(0.2, rel=0.05)
    assert middle[(distance > 35) & (distance < 37)].mean() == pytest.approx(0.8, rel=0.1)
    assert middle[distance > 50].max() == 0


def test_the_more_belts_the_smoother_their_average(belts) -> None:
    rng = np.random.default_rng(1)
    few = [average_belt(belts, 4, BOX, VOXEL, rng) for _ in range(2)]
    many = [average_belt(belts, 64, BOX, VOXEL, rng) for _ in range(2)]
    ratio = np.std(few[0] - few[1]) / np.std(many[0] - many[1])
    assert ratio == pytest.approx(4.0, rel=0.1)


def test_the_low_pass_keeps_what_is_coarser_and_cuts_what_is_finer() -> None:
    z = np.arange(BOX)
    coarse, fine = np.cos(2 * np.pi * 4 * z / BOX), np.cos(2 * np.pi * 20 * z / BOX)
    volume = np.broadcast_to((coarse + fine)[:, None, None], (BOX,) * 3).astype(np.float32)
    result = low_passed(volume, VOXEL, BOX * VOXEL / 10)
    np.testing.assert_allclose(result[:, 3, 5], coarse, atol=1e-5)
