"""The predicted memory against what the arrays of a call really take."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from plugin_core import cost
from plugin_core.masks import soft_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import reconstruct
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import RISKS, NonuniformParameters, regularize
from plugin_core.simulation.accumulators import accumulate
from plugin_core.weights import radial_weights

BOX = 96
PROGRAM = 100e6  # what the prediction allows for beside arrays
SLABS = 12e6  # temporaries of one thread


def peak_bytes(function) -> int:
    """Most memory that `function` has allocated at any one time."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("risk", RISKS)
def test_regularisation_fits_into_what_is_predicted(risk):
    half_map = np.random.default_rng(0).standard_normal((BOX,) * 3, dtype=np.float32)
    inputs = RegularizerInput(
        half_map=half_map,
        partner=half_map.copy() if risk == "cross-half" else None,
        support=soft_sphere(BOX, 30, 5),
        noise_power=np.ones(BOX // 2 + 1),
        voxel_size=1.0,
        max_shell=BOX // 2,
        quarters=(half_map.copy(), half_map.copy()) if risk == "quarter" else None,
    )
    held = {"split-noise": 2, "cross-half": 3, "quarter": 4}[risk]
    peak = held * half_map.nbytes + peak_bytes(
        lambda: regularize(inputs, NonuniformParameters(risk, levels=3))
    )
    predicted = cost.predict(BOX, 1, risk=risk).host_bytes - PROGRAM
    assert 0.8 * predicted < peak < predicted + SLABS


@pytest.mark.parametrize("padding", [1, 2])
def test_reconstruction_fits_into_what_is_predicted(padding):
    grid = PaddedGrid(BOX, padding, BOX // 2)
    arrays = accumulate(np.zeros((BOX,) * 3, np.float32), grid, np.ones(BOX // 2 + 1), None)
    radial = radial_weights(arrays.weight, grid)
    peak = peak_bytes(lambda: reconstruct(arrays, radial, None))
    assert peak < cost.predict(BOX, padding, risk=None).host_bytes - PROGRAM + SLABS


def test_gridding_fits_into_what_is_predicted():
    grid = PaddedGrid(BOX, 2, BOX // 2)
    arrays = accumulate(np.zeros((BOX,) * 3, np.float32), grid, np.ones(BOX // 2 + 1), None)
    radial = radial_weights(arrays.weight, grid)
    peak = peak_bytes(lambda: reconstruct(arrays, radial, None, gridding=True))
    predicted = cost.predict(BOX, 2, gridding=True).host_bytes - PROGRAM
    assert 0.8 * predicted < peak < predicted + SLABS


def test_the_device_does_no_gridding():
    gridded, divided = cost.predict(200, 2, gridding=True), cost.predict(200, 2)
    assert gridded.host_bytes > 2 * divided.host_bytes
    assert gridded.device_bytes == divided.device_bytes


def test_the_uniform_regulariser_needs_less():
    searched, uniform = cost.predict(200, 1), cost.predict(200, 1, risk=None)
    assert uniform.host_bytes < 0.7 * searched.host_bytes
    assert uniform.fft_points < 0.1 * searched.fft_points


def test_transforms_grow_with_the_box_the_levels_and_the_risk():
    work = cost.predict(100, 1).fft_points
    assert cost.predict(200, 1).fft_points == pytest.approx(8 * work, rel=0.01)
    assert cost.predict(100, 1, levels=100).fft_points == pytest.approx(2 * work, rel=0.05)
    assert cost.predict(100, 1, risk="cross-half").fft_points > work


def test_fewer_measured_shells_need_less_memory():
    assert cost.predict(100, 2, max_shell=10).host_bytes <= cost.predict(100, 2).host_bytes
