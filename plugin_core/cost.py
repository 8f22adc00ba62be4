"""What a call will need, counted before it starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.backend import DEVICE_SLAB_ELEMENTS
from plugin_core.nonuniform.levels import filter_limit, window_limit
from plugin_core.padded_grid import PaddedGrid

_PROGRAM_BYTES = 100e6
"""Interpreter, libraries, and what few threads have at hand slab by slab."""

_DEVICE_PROGRAM_BYTES = 100e6
"""Kernels and the work space of cuFFT's plans."""

_SEARCH_MAPS = {"split-noise": 10, "cross-half": 15, "quarter": 20}
"""N^3 float32 maps alive at the peak of the search, its input included."""

_MAPS_BESIDE = 3
"""N^3 float32 maps that may be alive beside a reconstruction: the joined map has two."""

_SLAB_BYTES_PER_VOXEL = 34
_SLAB_BYTES = _SLAB_BYTES_PER_VOXEL * DEVICE_SLAB_ELEMENTS
"""Temporary arrays of what a GPU does slab by slab (:func:`plugin_core.backend.for_slabs`)."""

_GRIDDING_BYTES = 32
"""Of each voxel of the grid of the gridding iterations."""


@dataclass(frozen=True)
class Cost:
    """Predicted need of one call.

    Attributes
    ----------
    device_bytes : int
        Peak memory of the arrays on the GPU, if it does the work.
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
    *,
    levels: int = 50,
    risk: str | None = "split-noise",
    gridding: bool = False,
) -> Cost:
    """Predict memory and work of one call.

    Parameters
    ----------
    box : int
        N, voxels a side.
    padding : float
        RELION's padding factor.
    max_shell : int, optional
        Half of RELION's current image size; box / 2 if not given, the most there can be.
    levels : int
        Number of cutoffs.
    risk : str or None
        None for the uniform regulariser.
    gridding : bool
        Gridding iterations, which are the CPU's in any case.
    """
    grid = PaddedGrid(box, padding, max_shell or box // 2)
    voxels = float(box) ** 3
    work = _reconstruction_bytes(grid)
    if risk is not None:
        work = max(work, 4 * voxels * _SEARCH_MAPS[risk])
    gridding_bytes = _GRIDDING_BYTES * (2 * grid.radius + 3) ** 3 if gridding else 0
    points = 4 / 3 * np.pi * grid.radius**2 * grid.size
    if risk is not None:
        points += voxels * _transforms(grid, levels, risk)
    return Cost(
        device_bytes=int(
            work + _DEVICE_PROGRAM_BYTES + min(_SLAB_BYTES_PER_VOXEL * voxels, _SLAB_BYTES)
        ),
        host_bytes=int(max(work, gridding_bytes) + _PROGRAM_BYTES),
        fft_points=points,
    )


def _reconstruction_bytes(grid: PaddedGrid) -> float:
    half_transformed = 8 * grid.box * grid.radius * (2 * grid.radius - 1 + grid.box)
    return half_transformed + _MAPS_BESIDE * 4 * float(grid.box) ** 3


def _transforms(grid: PaddedGrid, levels: int, risk: str) -> float:
    """Whole transforms to which those of all levels amount, being limited to low frequencies."""
    maps = {"split-noise": 1, "cross-half": 2, "quarter": 3}[risk]
    total = 0.0
    for cutoff in np.linspace(0, grid.max_shell, levels + 1)[1:]:
        for count, limit in (
            (maps, filter_limit(grid.box, cutoff, order=8)),
            (2, window_limit(grid.box, cutoff, awf=3.0)),
        ):
            part = limit / (grid.box // 2 + 1)
            total += count * (1 + part + part**2) / 3
    return total
