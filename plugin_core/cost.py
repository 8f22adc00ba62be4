"""What a call will need, counted before it starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.padded_grid import PaddedGrid

_PROGRAM_BYTES = 150e6
"""Interpreter and libraries."""

_SEARCH_MAPS = {"split-noise": 15, "cross-half": 19, "quarter": 24}
"""N^3 float32 maps alive at the peak of the search, transforms and their scratch included."""

_BLOCK_BYTES = 40e6
"""Scratch of the passes over RELION's arrays, which go block by block."""


@dataclass(frozen=True)
class Cost:
    """Predicted need of one call.

    Attributes
    ----------
    device_bytes : int
        Peak memory of the arrays, on the GPU if it does the work.
    host_bytes : int
        Peak memory of the process when the CPU does the work.
    fft_points : float
        Points of three-dimensional transforms, the unit in which time goes.
    """

    device_bytes: int
    host_bytes: int
    fft_points: float


_DENOISER_MAPS = 10
_NETWORK_MAPS = 12
"""Float32 maps alive at the peak of the denoiser, at the map's and at the network's voxel size,
transforms included."""

_BYTES_PER_CHANNEL = 40
"""Memory of a block in the network: per voxel and channel at full resolution."""

_TORCH_BYTES = 250e6
"""PyTorch itself, in the host's memory."""


def block_bytes(width: int, block_size: int) -> int:
    """Memory in bytes that a network of `width` channels takes for one block, rounded up."""
    return _BYTES_PER_CHANNEL * width * block_size**3


def predict_denoiser(
    grid: PaddedGrid, network_box: int, width: int, block_size: int
) -> tuple[int, int]:
    """Predict the memory of one call with the denoiser, in bytes.

    Parameters
    ----------
    grid : PaddedGrid
    network_box : int
        Voxels a side at the network's voxel size.
    width : int
        Channels of the network at full resolution.
    block_size : int

    Returns
    -------
    arrays, network : int
        Of the maps and transforms, and of the network with one block, without the libraries.
    """
    arrays = max(_reconstruction_bytes(grid), _DENOISER_MAPS * 4 * float(grid.box) ** 3)
    network = _NETWORK_MAPS * 4 * float(network_box) ** 3 + block_bytes(width, block_size)
    return int(arrays), int(network)


def predict(
    box: int,
    padding: float,
    max_shell: int | None = None,
    levels: int = 50,
    risk: str = "split-noise",
) -> Cost:
    """Predict memory and work of one non-uniform call.

    Parameters
    ----------
    box : int
        N, voxels a side.
    padding : float
        RELION's padding factor.
    max_shell : int, optional
        Half of RELION's current image size; box / 2 if not given, the most there can be.
    """
    grid = PaddedGrid(box, padding, max_shell or box // 2)
    voxels = float(box) ** 3
    search = _SEARCH_MAPS[risk] * 4 * voxels
    work = int(max(_reconstruction_bytes(grid), search))
    transforms = {"split-noise": 3, "cross-half": 4, "quarter": 5}[risk]
    padded = 4 / 3 * np.pi * grid.radius**2 * grid.size
    return Cost(work, int(work + _PROGRAM_BYTES), levels * transforms * voxels + padded)


def _reconstruction_bytes(grid: PaddedGrid) -> float:
    half_transformed = 8 * grid.box * grid.radius * (2 * grid.radius - 1 + grid.box)
    return half_transformed + 4 * float(grid.box) ** 3 + _BLOCK_BYTES
