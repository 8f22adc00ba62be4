"""Radial sums of the weights against loops over shells, and the weights that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.padded_grid import PaddedGrid
from plugin_core.weights import Divisor, Prior, radial_weights

GRID = PaddedGrid(12, 2.0, 5)


def squared_padded_radius() -> np.ndarray:
    axis = np.fft.fftfreq(GRID.size, 1 / GRID.size) ** 2
    return (axis[:, None, None] + axis[:, None] + axis[: GRID.size // 2 + 1]).astype(int)


@pytest.fixture
def weight() -> np.ndarray:
    """Positive weights inside, garbage-free zeros outside, some zeros inside as well."""
    rng = np.random.default_rng(0)
    values = 10 ** rng.uniform(-4, 1, GRID.shape)
    values[rng.random(GRID.shape) < 0.2] = 0
    values[squared_padded_radius() >= GRID.radius**2] = 0
    return values.astype(np.float32)


def test_sums_over_each_squared_radius(weight):
    radius2 = squared_padded_radius()
    radial = radial_weights(weight, GRID)
    for value in (0, 1, 2, 9, GRID.radius**2 - 1):
        here = weight[radius2 == value].astype(np.float64)
        assert radial.counts[value] == here.size
        assert radial.sums[value] == pytest.approx(here.sum())
        assert radial.inverse_sums[value] == pytest.approx((1 / here[here > 0]).sum())
    assert len(radial.sums) == GRID.radius**2


def test_shell_means_round_the_radius(weight):
    radius2 = squared_padded_radius()
    shell = np.floor(np.sqrt(radius2) / GRID.padding + 0.5)
    inside = radius2 < GRID.radius**2
    expected = [weight[inside & (shell == k)].mean(dtype=float) for k in range(6)]
    np.testing.assert_allclose(radial_weights(weight, GRID).shell_means(), expected, rtol=1e-6)


@pytest.mark.parametrize("prior", [None, Prior(np.array([1, 0, 0.1, 0.01, 0, 0, 0]), 4.0, 1)])
def test_no_divisor_is_below_a_thousandth_of_its_shell_mean(xp, weight, prior):
    radius2 = squared_padded_radius()
    inside = radius2 < GRID.radius**2
    shell = np.floor(np.sqrt(radius2[inside]) / GRID.padding)
    radial = radial_weights(weight, GRID)
    divisor = Divisor(radial, prior, xp)
    found = to_host(divisor(xp.asarray(weight[inside]), xp.asarray(radius2[inside])))
    means = np.array([found[shell == k].mean() for k in range(GRID.max_shell)])
    assert (found > 0.99e-3 * means[shell.astype(int)]).all()
    if prior is None:  # the zeros among the weights have been raised, the others left alone
        zero = weight[inside] == 0
        np.testing.assert_allclose(found[zero], 1e-3 * means[shell[zero].astype(int)], rtol=2e-3)
        large = weight[inside] > 0.1
        np.testing.assert_array_equal(found[large], weight[inside][large])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "the weights hold values that are not finite"),
        (np.inf, "the weights hold values that are not finite"),
        (-0.5, r"the weights hold negative values, down to -0\.5"),
    ],
)
@pytest.mark.parametrize("voxel", [(0, 0, 0), (-3, 2, 4)])
def test_wrong_weights_are_refused(weight, value, message, voxel):
    weight[voxel] = value
    with pytest.raises(ValueError, match=message):
        radial_weights(weight, GRID)


def test_weights_of_no_particle_are_refused(weight):
    with pytest.raises(ValueError, match="zero everywhere: no particle contributed"):
        radial_weights(np.zeros_like(weight), GRID)
