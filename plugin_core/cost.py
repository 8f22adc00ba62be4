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
    half_transformed = 8 * box * grid.radius * (2 * grid.radius - 1 + box)
    search = _SEARCH_MAPS[risk] * 4 * voxels
    work = int(max(half_transformed + 4 * voxels + _BLOCK_BYTES, search))
    transforms = {"split-noise": 3, "cross-half": 4, "quarter": 5}[risk]
    padded = 4 / 3 * np.pi * grid.radius**2 * grid.size
    return Cost(work, int(work + _PROGRAM_BYTES), levels * transforms * voxels + padded)
