"""Linear operations that act along one axis of a map after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def along_axes(volume: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Multiply the three last axes of a map by a matrix each.

    On a CPU that is several times faster than a convolution with one channel, even where most of
    a matrix is zero.

    Parameters
    ----------
    volume : (..., Z, Y, X)
    z, y, x : (Z', Z), (Y', Y), (X', X)

    Returns
    -------
    (..., Z', Y', X')
    """
    along_xy = y @ (volume @ x.T)
    along_all = z @ along_xy.flatten(start_dim=-2)
    return along_all.reshape(*along_all.shape[:-1], *along_xy.shape[-2:])


def interpolation(before: int, after: int, like: Tensor) -> Tensor:
    """Weights (after, before) of linear interpolation from one grid to another of equal extent.

    The origin, voxel length // 2 of both, is kept; beyond the old grid there are zeros.
    """
    old = torch.arange(before, dtype=like.dtype, device=like.device) - before // 2
    new = torch.arange(after, dtype=like.dtype, device=like.device) - after // 2
    return (1 - (new[:, None] * (before / after) - old).abs()).clamp(min=0)
