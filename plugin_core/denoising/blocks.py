"""A map of any size, cut into overlapping blocks that the network takes, and put together again.

The network knows least about the rim of a block, so a margin of each is thrown away, and where
the rest of several blocks overlap, each counts the more the closer to its middle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MARGIN = 10
"""Voxels of a block's rim that are not used."""

RIM_WEIGHT = 0.4
"""Weight just inside the margin; it rises to 1 in the middle of the block."""

LEAST_MEAN_MASK = 0.3
"""Blocks with a smaller mean of the mask are left out, unless nothing else covers what they do."""

Start = tuple[int, int, int]
"""First voxel (z, y, x) of a block; it may lie before the map's own first voxel."""


@dataclass(frozen=True)
class Tiling:
    """How a map is cut.

    Attributes
    ----------
    size : int
        D, voxels a side of a block.
    stride : int
        Largest distance between neighbouring blocks, at most D - 2 MARGIN.
    """

    size: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.inner:
            raise ValueError(
                f"the stride must be from 1 to {self.inner} voxels, or blocks of {self.size} "
                f"without their margin of {MARGIN} leave gaps, not {self.stride}"
            )

    @property
    def inner(self) -> int:
        """Voxels a side of the part of a block that is used."""
        return self.size - 2 * MARGIN


def covering_blocks(mask: Tensor, tiling: Tiling) -> list[Start]:
    """Blocks whose inner parts cover every voxel of a mask (Z, Y, X) that is not zero.

    They are spread evenly over the extent of the mask, so they move and turn with it. Blocks that
    hold little of it are left out where the others cover all of the mask in them; what is nowhere
    covered would vanish from the map.
    """
    extents = [_extent(mask, axis) for axis in range(3)]
    axes = [_spread(*extent, tiling) for extent in extents if extent is not None]
    if len(axes) < 3:
        return []
    candidates = [(z, y, x) for z in axes[0] for y in axes[1] for x in axes[2]]
    full = {start for start in candidates if _is_full(mask, start, tiling)}
    uncovered = mask > 0
    for start in full:
        _part(uncovered, start, MARGIN, tiling).fill_(False)
    return [
        start
        for start in candidates
        if start in full or bool(_part(uncovered, start, MARGIN, tiling).any())
    ]


def published_blocks(mask: Tensor, tiling: Tiling) -> list[Start]:
    """Blocks as relion-blush lays them: from the map's corner on, the last flush with its end.

    Voxels within MARGIN of the map's faces, and those that only left-out blocks hold, are covered
    by none.
    """
    axes = []
    for length in mask.shape:
        last = max(length - tiling.size, 0)
        axes.append(sorted({*range(0, last, tiling.stride), last}))
    starts = [(z, y, x) for z in axes[0] for y in axes[1] for x in axes[2]]
    return [start for start in starts if _is_full(mask, start, tiling)]


def overlap_weight(tiling: Tiling, like: Tensor) -> Tensor:
    """Weight of each voxel of a block, (D, D, D): a cosine of the Chebyshev distance.

    0 in the margin; inside, 0.4 + 0.6 cos(pi/2 r / r_max) of the distance r from the middle.
    """
    half = (tiling.size - 1) / 2
    axis = (torch.arange(tiling.size, dtype=like.dtype, device=like.device) - half).abs()
    distance = torch.maximum(torch.maximum(axis[:, None, None], axis[:, None]), axis)
    phase = distance * (np.pi / tiling.inner)
    weight = RIM_WEIGHT + (1 - RIM_WEIGHT) * torch.cos(phase)
    return torch.where(distance < tiling.inner / 2, weight, 0)


def apply_by_blocks(
    channels: Sequence[Tensor],
    starts: Sequence[Start],
    tiling: Tiling,
    function: Callable[..., Tensor],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Apply a function to blocks, and average what it returns where they overlap.

    Parameters
    ----------
    channels : sequence of (Z, Y, X) float32
        Maps to cut; beyond them there are zeros.
    starts : sequence of Start
    function : callable
        Given a batch (B, D, D, D) of every channel, returns one such batch.
    batch_size : int
        Blocks at a time.
    progress : callable
        Told the number of blocks done, and of all.

    Returns
    -------
    (Z, Y, X) float32
        Weighted mean; 0 where there is no block.
    """
    weight = overlap_weight(tiling, channels[0])
    total = torch.zeros_like(channels[0])
    weights = torch.zeros_like(channels[0])
    progress(0, len(starts))
    for first in range(0, len(starts), batch_size):
        batch = starts[first : first + batch_size]
        blocks = [torch.stack([_cut(c, start, tiling) for start in batch]) for c in channels]
        for start, block in zip(batch, function(*blocks), strict=True):
            _part(total, start, 0, tiling).add_(_within(block * weight, start, total.shape))
            _part(weights, start, 0, tiling).add_(_within(weight, start, total.shape))
        progress(min(first + batch_size, len(starts)), len(starts))
    return torch.where(weights > 0, total / weights, 0)


def _is_full(mask: Tensor, start: Start, tiling: Tiling) -> bool:
    """Whether a block holds enough of the mask to be denoised in any case."""
    held = float(_part(mask, start, 0, tiling).sum(dtype=torch.float64))
    return held >= LEAST_MEAN_MASK * tiling.size**3


def _extent(mask: Tensor, axis: int) -> tuple[int, int] | None:
    """First and last index along an axis at which the mask is not zero; None if it is empty."""
    others = tuple(other for other in range(3) if other != axis)
    inside = torch.nonzero(mask.amax(dim=others) > 0).flatten()
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def _spread(first: int, last: int, tiling: Tiling) -> list[int]:
    """Starts of blocks whose inner parts cover `first` to `last`, evenly spread."""
    beyond = last + 1 - first - tiling.inner
    if beyond <= 0:
        return [first - MARGIN + beyond // 2]
    gaps = -(-beyond // tiling.stride)
    return [first - MARGIN + round(gap * beyond / gaps) for gap in range(gaps + 1)]


def _part(volume: Tensor, start: Start, rim: int, tiling: Tiling) -> Tensor:
    """View of what a map holds of a block without a rim."""
    slices = (slice(max(first + rim, 0), max(first + tiling.size - rim, 0)) for first in start)
    return volume[tuple(slices)]


def _cut(volume: Tensor, start: Start, tiling: Tiling) -> Tensor:
    """A block (D, D, D), zero where it lies beyond the map."""
    padding: list[int] = []
    for first, length in zip(reversed(start), reversed(volume.shape), strict=True):
        padding += [max(-first, 0), max(first + tiling.size - length, 0)]
    return functional.pad(_part(volume, start, 0, tiling), padding)


def _within(block: Tensor, start: Start, shape: Sequence[int]) -> Tensor:
    """View of the part of a block that lies within a map of the given shape."""
    slices = (
        slice(max(-first, 0), length - first) for first, length in zip(start, shape, strict=True)
    )
    return block[tuple(slices)]
