"""The reconstruction against a straight-line float64 version of RELION's, and against the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import iv, jv

from plugin_core.backend import to_host
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators, reconstruct
from plugin_core.simulation.accumulators import accumulate
from plugin_core.weights import Prior, radial_weights

GRIDS = [
    PaddedGrid(16, 2.0, 8),
    PaddedGrid(16, 2.0, 5),
    PaddedGrid(16, 1.0, 8),
    PaddedGrid(16, 1.0, 5),
]


def blobs(box: int, sigma: float) -> np.ndarray:
    """A few Gaussians well inside the box; a wide sigma leaves nothing at high resolution."""
    rng = np.random.default_rng(3)
    axis = np.arange(box) - box // 2
    volume = np.zeros((box,) * 3)
    for centre in rng.uniform(-1.5, 1.5, (5, 3)):
        z, y, x = (np.exp(-((axis - c) ** 2) / (2 * sigma**2)) for c in centre)
        volume += rng.uniform(0.5, 1) * z[:, None, None] * y[:, None] * x
    return volume.astype(np.float32)


def falling_weight(grid: PaddedGrid) -> np.ndarray:
    return 100 / (1 + np.arange(grid.max_shell + 1.0))


def uneven_arrays(grid: PaddedGrid, decades: int = 5) -> Accumulators:
    """Noisy data with very uneven weights, some of them zero; over 5 decades, below the floor."""
    rng = np.random.default_rng(4)
    arrays = accumulate(blobs(grid.box, 1.5), grid, falling_weight(grid), rng)
    factor = 10 ** rng.uniform(-decades, 0, grid.shape).astype(np.float32)
    factor[rng.random(grid.shape) < 0.1] = 0
    return Accumulators(*(array * factor for array in dataclasses.astuple(arrays)))


def uneven_prior(grid: PaddedGrid, min_shell: int) -> Prior:
    """A falling tau2 that is zero in two measured shells and beyond the last."""
    shells = np.arange(grid.box // 2 + 1.0)
    tau2 = np.where(shells < grid.max_shell, 0.1 * np.exp(-shells / 2), 0)
    tau2[1] = 0
    return Prior(tau2, 2.0, min_shell)


# ---- RELION's recipe, step by step, on the whole grid, in float64 -------------------------------


def recipe(
    arrays: Accumulators, grid: PaddedGrid, prior: Prior | None, gridding: bool, data_dimension: int
) -> np.ndarray:
    axis = np.fft.fftfreq(grid.size, 1 / grid.size)
    radius2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[: grid.size // 2 + 1] ** 2
    inside = radius2 < grid.radius**2
    data = np.where(inside, arrays.data_real.astype(float) + 1j * arrays.data_imag, 0)
    weight = np.where(inside, arrays.weight.astype(float), 0)
    if prior is not None:
        weight = add_prior(weight, np.sqrt(radius2) / grid.padding, inside, prior, grid.padding)
    if gridding:
        transform = data * gridding_multiplier(weight, grid, inside)
    else:
        weight = raise_to_floor(weight, np.floor(np.sqrt(radius2) / grid.padding), inside, grid)
        transform = data / np.where(weight == 0, 1, weight)
    volume = np.fft.fftshift(np.fft.irfftn(transform, s=(grid.size,) * 3, axes=(0, 1, 2)))
    start = grid.size // 2 - grid.box // 2
    crop = slice(start, start + grid.box)
    volume = volume[crop, crop, crop] * float(grid.box) ** data_dimension

    centred = np.arange(grid.box) - grid.box // 2
    r = np.sqrt(centred[:, None, None] ** 2 + centred[:, None] ** 2 + centred**2)
    edge = 0.5 + 0.5 * np.cos(np.pi * (grid.box / 2 + 3 - r) / 3)
    outside = np.where(r < grid.box / 2, 0, np.where(r > grid.box / 2 + 3, 1, edge))
    background = (outside * volume).sum() / outside.sum()
    volume = (1 - outside) * volume + outside * background
    return volume / np.sinc(r / (grid.box * grid.padding)) ** 2


def add_prior(weight, radius, inside, prior, padding):
    shell = np.floor(radius + 0.5).astype(int)
    result = weight.copy()
    for k in range(shell[inside].max() + 1):
        here = inside & (shell == k)
        if k < prior.min_shell:
            continue
        if prior.tau2[k] > 0:
            result[here] += 1 / (padding**3 * prior.tau2_fudge * prior.tau2[k])
        else:
            here &= weight > 1e-20
            result[here] += 1 / (0.001 * weight[here])
    return result


def raise_to_floor(weight, shell_below, inside, grid):
    result = weight.copy()
    last = grid.max_shell - 1
    for k in range(last + 1):
        here = inside & (shell_below == k)
        result[here] = np.maximum(weight[here], weight[here].mean() / 1000)
    return result


def gridding_multiplier(weight, grid, inside):
    """Ten iterations on RELION's odd grid of n = 2 (R + 1) + 1 voxels a side."""
    n = 2 * (grid.radius + 1) + 1
    axis = np.fft.fftfreq(n, 1 / n).astype(int)
    odd_inside = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[: n // 2 + 1] ** 2
    odd_inside = odd_inside < grid.radius**2
    z, y, x = np.nonzero(odd_inside)
    on_padded = (axis[z] % grid.size, axis[y] % grid.size, x)
    odd_weight = np.zeros(odd_inside.shape)
    odd_weight[odd_inside] = weight[on_padded]

    offset = np.arange(n)
    offset = np.where(offset >= n // 2, offset - n, offset)
    distance = np.sqrt(offset[:, None, None] ** 2 + offset[:, None] ** 2 + offset**2)
    kernel = blob_kernel(distance / (grid.box * grid.padding))
    multiplier = odd_inside.astype(float)
    for _ in range(10):
        blurred = np.fft.irfftn(multiplier * odd_weight, s=(n, n, n), axes=(0, 1, 2)) * kernel
        multiplier = odd_inside * multiplier / np.maximum(abs(np.fft.rfftn(blurred)), 1e-6)
    result = np.zeros(inside.shape)
    result[on_padded] = multiplier[odd_inside]
    return result


def blob_kernel(frequency):
    """RELION's table of the kernel, K(w) / K(0), by SciPy's Bessel functions."""
    table_argument = 2 * np.pi * (2 * 1.9) * np.arange(10_000) * 0.5 / 10_000
    s = np.sqrt(np.abs(15**2 - table_argument**2))
    table = np.where(table_argument > 15, jv(1.5, s), iv(1.5, s)) / s**1.5
    index = (frequency * 10_000 / 0.5).astype(int)
    return np.where(index < 10_000, table[np.minimum(index, 9_999)], 0) / table[0]


# ---- tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gridding", [False, True], ids=["division", "gridding"])
@pytest.mark.parametrize("min_shell", [None, -1, 3], ids=["raw", "all shells", "from shell 3"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_map_is_what_the_recipe_makes(xp, grid, min_shell, gridding):
    arrays = uneven_arrays(grid, decades=2 if gridding else 5)
    prior = None if min_shell is None else uneven_prior(grid, min_shell)
    radial = radial_weights(arrays.weight, grid)
    found = reconstruct(arrays, radial, prior, gridding=gridding, xp=xp)
    assert found.dtype == np.float32
    expected = recipe(arrays, grid, prior, gridding, data_dimension=2)
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-6 * abs(expected).max())


def test_data_of_three_dimensions_are_scaled_by_the_box_once_more():
    grid = GRIDS[0]
    arrays = uneven_arrays(grid)
    radial = radial_weights(arrays.weight, grid)
    images, subtomograms = (
        reconstruct(arrays, radial, None, data_dimension=dimension) for dimension in (2, 3)
    )
    np.testing.assert_allclose(subtomograms, 16 * images, rtol=1e-6)


@pytest.mark.parametrize(
    ("padding", "max_shell", "sigma"),
    [(1, 16, 1.9), (2, 16, 1.9), (1, 11, 2.6), (2, 11, 2.6)],
)
def test_noise_free_arrays_give_back_their_map(xp, padding, max_shell, sigma):
    grid = PaddedGrid(32, padding, max_shell)
    truth = blobs(32, sigma)
    arrays = accumulate(truth, grid, falling_weight(grid), None)
    found = to_host(reconstruct(arrays, radial_weights(arrays.weight, grid), None, xp=xp))
    np.testing.assert_allclose(found, truth, rtol=0, atol=2e-6 * truth.max())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["data_real", "data_imag"])
@pytest.mark.parametrize("gridding", [False, True], ids=["division", "gridding"])
def test_data_that_are_not_finite_are_refused(part, value, gridding):
    grid = GRIDS[1]
    arrays = uneven_arrays(grid)
    getattr(arrays, part)[-2, 3, 1] = value
    radial = radial_weights(arrays.weight, grid)
    with pytest.raises(ValueError, match="the data hold values that are not finite"):
        reconstruct(arrays, radial, None, gridding=gridding)
