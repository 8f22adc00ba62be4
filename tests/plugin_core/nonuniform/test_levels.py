"""The bank of cutoffs, and the window of each."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.nonuniform.levels import cutoff_levels, window_gain, window_sigma


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
