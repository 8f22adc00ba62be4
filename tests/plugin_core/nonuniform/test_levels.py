"""The bank of cutoffs, and the window of each."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.fourier import butterworth
from plugin_core.nonuniform.levels import (
    cutoff_levels,
    filter_limit,
    window_gain,
    window_limit,
    window_sigma,
)


def test_cutoffs_are_equispaced_from_40_angstrom_to_the_last_shell():
    cutoffs = cutoff_levels(box=200, voxel_size=1.5, max_shell=90, count=31)
    assert len(cutoffs) == 31
    assert 200 * 1.5 / cutoffs[0] == pytest.approx(40)
    assert cutoffs[-1] == 90
    np.testing.assert_allclose(np.diff(cutoffs), (90 - 7.5) / 30)


def test_cutoffs_start_at_shell_1_in_a_box_smaller_than_40_angstrom():
    assert cutoff_levels(box=20, voxel_size=1.5, max_shell=10, count=4)[0] == 1


def test_there_is_one_cutoff_where_even_the_coarsest_is_beyond_the_data():
    np.testing.assert_array_equal(cutoff_levels(box=100, voxel_size=4, max_shell=9, count=50), [9])


def test_no_cutoffs_are_refused():
    with pytest.raises(ValueError, match="at least one cutoff level is needed, not 0"):
        cutoff_levels(100, 1, 40, 0)


def test_a_window_is_a_gaussian_of_awf_sixths_of_a_wavelength():
    box, cutoff, awf = 64, 8.0, 3.0
    full, half = (axis.astype(np.float64) for axis in window_gain(box, cutoff, awf))
    assert full[0] == half[0] == 1  # a constant stays what it is
    np.testing.assert_array_equal(half, full[: box // 2 + 1])
    window = np.fft.fftshift(np.fft.irfft(half, n=box))
    offset = np.arange(box) - box // 2
    deviation = np.sqrt((window * offset**2).sum())
    assert deviation == pytest.approx(awf / 6 * box / cutoff, rel=1e-3)
    assert deviation == pytest.approx(window_sigma(cutoff, awf) * box, rel=1e-3)
    # the paper's factor of 3 is a full width at half maximum of 1.18 wavelengths
    half_width = 1.1774 * box / cutoff / 2
    assert np.interp(half_width, offset, window) == pytest.approx(window.max() / 2, rel=0.02)


@pytest.mark.parametrize("order", [4, 8, 16])
@pytest.mark.parametrize("cutoff", [3.0, 20.0, 90.0])
def test_a_filter_is_next_to_nothing_from_its_limit_on(cutoff, order):
    limit = filter_limit(400, cutoff, order)
    assert limit == 201 or butterworth(limit, cutoff, order) <= 1e-6
    assert butterworth(min(limit, 200) - 400 // 32, cutoff, order) > 1e-6  # and not much before


@pytest.mark.parametrize("awf", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("cutoff", [3.0, 20.0, 90.0])
def test_a_window_is_next_to_nothing_from_its_limit_on(cutoff, awf):
    limit = window_limit(400, cutoff, awf)
    _, half = window_gain(400, cutoff, awf)
    assert limit == 201 or half[limit] <= 2e-6
    assert half[max(min(limit, 200) - 400 // 32, 0)] > 2e-6


def test_few_limits_serve_all_levels():
    cutoffs = cutoff_levels(200, 1.5, 90, 50)
    assert len({filter_limit(200, cutoff, 8) for cutoff in cutoffs}) < 20
    assert len({window_limit(200, cutoff, 3) for cutoff in cutoffs}) < 30
