"""Cut training blocks out of augmented pairs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SCALE_RANGE = (0.9, 1.1)
LARGEST_SHEAR = 0.05


def block_centre(mask: np.ndarray, block_size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the centre of a block: near a random voxel of the molecule, within the box if it fits.

    Returns
    -------
    (3,) int64
    """
    inside = np.flatnonzero(mask > 0.5)
    voxel = inside[rng.integers(len(inside))] if len(inside) else mask.size // 2
    centre = np.array(np.unravel_index(voxel, mask.shape))
    centre = centre + rng.integers(-(block_size // 3), block_size // 3 + 1, 3)
    half = min(block_size // 2, mask.shape[0] // 2)
    return np.clip(centre, half, mask.shape[0] - half)


def cut(volumes: Tensor, centre: np.ndarray, block_size: int) -> Tensor:
    """Cut a block out of maps (C, N, N, N), with zeros beyond their edge: (C, D, D, D)."""
    first = [int(c) - block_size // 2 for c in centre]
    last = [f + block_size for f in first]
    slices = tuple(slice(max(f, 0), f + block_size) for f in first)
    block = volumes[(slice(None), *slices)]
    padding: list[int] = []
    for axis in (2, 1, 0):
        padding += [max(-first[axis], 0), max(last[axis] - volumes.shape[axis + 1], 0)]
    return functional.pad(block, padding)


def turn(block: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn a block (C, D, D, D) by one of the 24 rotations of a cube: no mirror images."""
    axes = (1, 2, 3)
    block = torch.rot90(block, int(rng.integers(4)), (axes[1], axes[2]))
    face = int(rng.integers(6))
    if face < 4:
        return torch.rot90(block, face, (axes[0], axes[2]))
    return torch.rot90(block, 1 if face == 4 else 3, (axes[0], axes[1]))


def cut_affine(
    volumes: Tensor, centre: np.ndarray, block_size: int, rng: np.random.Generator
) -> Tensor:
    """Cut a block at a random rotation, scale, shear and sub-voxel shift, by linear interpolation.

    Parameters and result are those of :func:`cut`.
    """
    box = volumes.shape[-1]
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    shear = np.eye(3) + rng.uniform(-LARGEST_SHEAR, LARGEST_SHEAR, (3, 3))
    matrix = rotation @ shear * rng.uniform(*SCALE_RANGE)
    # grid_sample's coordinates run from -1 to 1 over the voxel centres, in the order x, y, z.
    offset = (centre + rng.uniform(-0.5, 0.5, 3)) / (box - 1) * 2 - 1
    scaled = matrix * ((block_size - 1) / (box - 1))
    affine = np.concatenate([scaled[::-1, ::-1], offset[::-1, None]], axis=1)
    grid = functional.affine_grid(
        torch.tensor(affine[None], dtype=torch.float32),
        [1, 1, block_size, block_size, block_size],
        align_corners=True,
    )
    return functional.grid_sample(volumes[None], grid, mode="bilinear", align_corners=True)[0]
