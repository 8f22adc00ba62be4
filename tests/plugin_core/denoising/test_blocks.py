"""What is cut must come together again, and nothing under the mask may be lost on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.blocks import (
    MARGIN,
    Tiling,
    apply_by_blocks,
    covering_blocks,
    overlap_weight,
    published_blocks,
)
from plugin_core.masks import soft_sphere

TILING = Tiling(size=32, stride=8)


def ball(box: int, radius: float, centre: tuple[int, int, int] | None = None) -> torch.Tensor:
    sphere = torch.from_numpy(soft_sphere(box, radius, 3.0))
    return torch.roll(sphere, [c - box // 2 for c in centre], (0, 1, 2)) if centre else sphere


def random_map(box: int, seed: int = 1) -> torch.Tensor:
    return torch.randn((box,) * 3, generator=torch.Generator().manual_seed(seed))


def covered(starts, tiling: Tiling, shape) -> np.ndarray:
    """How many inner parts hold each voxel, counted voxel by voxel along each axis."""
    count = np.zeros(shape, dtype=int)
    for start in starts:
        inside = [
            (np.arange(n) >= s + MARGIN) & (np.arange(n) < s + tiling.size - MARGIN)
            for s, n in zip(start, shape, strict=True)
        ]
        count += inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return count


MASKS = {
    "sphere that fills the box": ball(60, 27),
    "small sphere off the middle": ball(60, 6, (20, 38, 31)),
    "smaller than a block's used part": ball(60, 3),
    "touching the faces": torch.ones(60, 60, 60),
    "two far apart": torch.maximum(ball(80, 5, (15, 15, 15)), ball(80, 5, (64, 60, 62))),
    "a rod of less than 0.3 of any block": torch.zeros(90, 90, 90).index_fill(
        0, torch.tensor([44, 45]), 1.0
    ),
    "box smaller than a block": torch.ones(20, 20, 20),
    "a single voxel in the corner": torch.zeros(40, 40, 40).index_put(
        (torch.tensor(0), torch.tensor(39), torch.tensor(0)), torch.tensor(0.01)
    ),
}


@pytest.mark.parametrize("stride", [5, 8, 12])
@pytest.mark.parametrize("mask", MASKS.values(), ids=list(MASKS))
def test_every_voxel_of_the_mask_is_covered(mask, stride):
    tiling = Tiling(size=32, stride=stride)
    starts = covering_blocks(mask, tiling)
    assert (covered(starts, tiling, mask.shape)[mask.numpy() > 0] > 0).all()
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("mask", MASKS.values(), ids=list(MASKS))
def test_a_function_of_single_voxels_is_as_if_applied_to_the_whole_map(mask):
    """Twice the density plus the deviation squared, under the mask, whatever the blocks are."""
    density, deviation = random_map(mask.shape[0]), random_map(mask.shape[0], seed=2)
    found = apply_by_blocks(
        (density, deviation),
        covering_blocks(mask, TILING),
        TILING,
        lambda d, s: 2 * d + s**2,
        batch_size=3,
    )
    expected = 2 * density + deviation**2
    torch.testing.assert_close(found[mask > 0], expected[mask > 0], rtol=1e-5, atol=1e-5)


def test_a_filter_no_wider_than_the_margin_is_as_if_applied_to_the_whole_map():
    density, mask = random_map(60), ball(60, 15)
    kernel = torch.randn(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(3))

    def smooth(blocks: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(blocks[:, None], kernel, padding=2)[:, 0]

    found = apply_by_blocks((density,), covering_blocks(mask, TILING), TILING, smooth, 4)
    torch.testing.assert_close(
        found[mask > 0], smooth(density[None])[0][mask > 0], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_does_not_matter_and_progress_is_told(batch_size):
    density, mask = random_map(60), ball(60, 20)
    starts, told = covering_blocks(mask, TILING), []

    def standardised(blocks: torch.Tensor) -> torch.Tensor:
        assert len(blocks) <= batch_size
        return blocks / blocks.std(dim=(-3, -2, -1), keepdim=True)

    found = apply_by_blocks(
        (density,), starts, TILING, standardised, batch_size, lambda *step: told.append(step)
    )
    alone = apply_by_blocks((density,), starts, TILING, lambda b: b / b.std(), 1)
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)
    assert told[0] == (0, len(starts))
    assert told[-1] == (len(starts), len(starts))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_blocks_move_with_the_mask():
    before = covering_blocks(ball(80, 17, (36, 40, 38)), TILING)
    after = covering_blocks(ball(80, 17, (40, 37, 45)), TILING)
    assert after == [(z + 4, y - 3, x + 7) for z, y, x in before]


def test_blocks_that_hold_little_of_the_mask_are_left_out_if_others_cover_it():
    sphere = ball(60, 25)
    starts = covering_blocks(sphere, TILING)
    everywhere = covering_blocks(torch.ones(60, 60, 60), TILING)
    assert len(starts) < 0.8 * len(everywhere)
    held = [float(sphere[tuple(slice(max(s, 0), s + 32) for s in at)].sum()) for at in starts]
    assert sorted(held)[len(held) // 4] > 0.3 * 32**3


def test_an_empty_mask_takes_no_blocks():
    empty = torch.zeros(40, 40, 40)
    assert covering_blocks(empty, TILING) == []
    assert not apply_by_blocks((empty + 1,), [], TILING, lambda b: b, 1).any()


def test_published_blocks_by_hand():
    """Boxes of 84 at a stride of 20: 0 and 20 along each axis; of 90: 0, 20 and 26."""
    tiling = Tiling(size=64, stride=20)
    starts = published_blocks(torch.ones(84, 84, 84), tiling)
    assert starts == [(z, y, x) for z in (0, 20) for y in (0, 20) for x in (0, 20)]
    assert len(published_blocks(torch.ones(90, 90, 90), tiling)) == 27
    assert published_blocks(torch.ones(64, 64, 64), tiling) == [(0, 0, 0)]
    assert published_blocks(torch.ones(30, 30, 30), tiling) == []  # a ninth of the block
    assert published_blocks(torch.ones(60, 60, 60), tiling) == [(0, 0, 0)]
    half = torch.zeros(84, 84, 84)
    half[:30] = 1  # 30 of 64 planes of the blocks from 0 on, 10 of those from 20 on
    assert {z for z, _, _ in published_blocks(half, tiling)} == {0}


def test_the_overlap_weight_by_hand():
    weight = overlap_weight(Tiling(size=64, stride=20), torch.zeros(1))
    assert weight.shape == (64, 64, 64)
    assert not weight[:10].any()
    assert not weight[:, 54:].any()
    middle = 0.4 + 0.6 * math.cos(math.pi / 2 * 0.5 / 22)
    assert float(weight[31, 32, 31]) == pytest.approx(middle, rel=1e-6)
    corner = 0.4 + 0.6 * math.cos(math.pi / 2 * 21.5 / 22)
    assert float(weight[10, 53, 30]) == pytest.approx(corner, rel=1e-6)
    torch.testing.assert_close(weight, weight.flip(0).transpose(0, 2))


@pytest.mark.parametrize("stride", [0, 13, -1])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(ValueError, match=r"the stride must be from 1 to 12 voxels.*not"):
        Tiling(size=32, stride=stride)
