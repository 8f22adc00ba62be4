"""The pruned inverse transform against NumPy's transform of the whole padded grid."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core import padded_grid
from plugin_core.backend import to_host
from plugin_core.padded_grid import PaddedGrid

GRIDS = [
    PaddedGrid(16, 2.0, 8),
    PaddedGrid(16, 2.0, 5),
    PaddedGrid(16, 1.0, 8),
    PaddedGrid(16, 1.0, 3),
    PaddedGrid(15, 2.0, 7),
    PaddedGrid(12, 1.5, 6),
    PaddedGrid(8, 1.0, 1),
]


@pytest.fixture(params=[None, 60], ids=["one block", "many blocks"])
def _blocks(request, monkeypatch):
    """The default block size, and one so small that every axis is cut into many."""
    if request.param is not None:
        monkeypatch.setattr(padded_grid, "_BLOCK_VOXELS", request.param)


def signed(index: np.ndarray, size: int) -> np.ndarray:
    """Signed frequency of FFT-order indices; the middle one is positive, as in RELION."""
    return np.where(index <= size // 2, index, index - size)


def squared_padded_radius(grid: PaddedGrid) -> np.ndarray:
    axis = signed(np.arange(grid.size), grid.size) ** 2
    return axis[:, None, None] + axis[:, None] + np.arange(grid.size // 2 + 1) ** 2


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.usefixtures("_blocks")
def test_the_pruned_inverse_is_the_whole_one(xp, grid):
    rng = np.random.default_rng(0)
    inside = squared_padded_radius(grid) < grid.radius**2
    transform = (rng.standard_normal(grid.shape) + 1j * rng.standard_normal(grid.shape)) * inside
    whole = np.fft.irfftn(transform, s=(grid.size,) * 3, axes=(0, 1, 2))
    index = np.arange(-(grid.box // 2), grid.box - grid.box // 2) % grid.size
    expected = whole[np.ix_(index, index, index)]

    found = grid.inverse(
        lambda rows: grid.read(transform.astype(np.complex64), rows),
        lambda rows, block: xp.asarray(block),
        xp,
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.usefixtures("_blocks")
def test_blocks_read_every_voxel_inside_once(grid):
    numbers = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    radius2 = squared_padded_radius(grid)
    read, read_radius2, stop = [], [], 0
    for rows in grid.blocks():
        assert rows.start == stop
        stop = rows.stop
        read.append(grid.read(numbers, rows).ravel())
        read_radius2.append(grid.squared_radius(rows).ravel())
    assert stop == len(grid.rows)
    numbers_read = np.concatenate(read)
    np.testing.assert_array_equal(np.concatenate(read_radius2), radius2.ravel()[numbers_read])
    assert len(np.unique(numbers_read)) == len(numbers_read)
    assert set(numbers[radius2 < grid.radius**2]) <= set(numbers_read)


def test_sizes_are_rounded_half_up():
    grid = PaddedGrid(12, 1.125, 4)
    assert (grid.size, grid.radius) == (14, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((33, 1.0, 8), "box 33 and padding 1 give an odd padded size"),
        ((16, 2.0, 9), r"the current image size / 2 = 9 is not in 1..box / 2"),
        ((16, 2.0, 0), r"the current image size / 2 = 0 is not in 1..box / 2"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PaddedGrid(*arguments)
