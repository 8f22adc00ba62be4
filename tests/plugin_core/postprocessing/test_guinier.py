from __future__ import annotations

import numpy as np
import pytest

from plugin_core.fourier import apply_radial, irfftn, radii, rfftn
from plugin_core.postprocessing.guinier import fit_b_factor, guinier_plot

BOX, VOXEL_SIZE = 64, 1.25  # 80 Å: shell 8 is 10 Å


def blurred_point(b_factor: float) -> np.ndarray:
    """A map whose amplitudes are exp(-B / 4 · 1/d²) exactly."""
    point = np.zeros((BOX, BOX, BOX), dtype=np.float32)
    point[32, 32, 32] = BOX**3
    inverse_square = (radii(BOX) / (BOX * VOXEL_SIZE)) ** 2
    return irfftn(apply_radial(rfftn(point), np.exp(-b_factor / 4 * inverse_square)), BOX)


def step_fsc(last_shell: int, height: float = 1.0) -> np.ndarray:
    return np.where(np.arange(BOX // 2 + 1) <= last_shell, height, 0.0)


def test_the_plot_of_a_blurred_point_is_a_line() -> None:
    plot = guinier_plot(blurred_point(80), step_fsc(30, height=0.5), VOXEL_SIZE)
    np.testing.assert_allclose(
        plot.inverse_resolution_squared[[1, 8]], [1 / 80**2, 1 / 100], rtol=1e-12
    )
    # A shell is half a voxel wide on either side, hence the tolerance.
    line = -20 * plot.inverse_resolution_squared
    np.testing.assert_allclose(plot.log_amplitude, line, atol=0.01)
    weight = 0.5 * np.log(2 * 0.5 / 1.5)
    np.testing.assert_allclose(
        plot.log_weighted_amplitude[:31], plot.log_amplitude[:31] + weight, atol=1e-12
    )
    assert np.isnan(plot.log_weighted_amplitude[31:]).all()


@pytest.mark.parametrize("b_factor", [50.0, 160.0])
def test_the_fit_finds_the_b_factor_with_its_sign_turned(b_factor: float) -> None:
    fsc = step_fsc(26)
    fit = fit_b_factor(guinier_plot(blurred_point(b_factor), fsc, VOXEL_SIZE), fsc)
    assert fit.b_factor == pytest.approx(-b_factor, abs=0.2)
    assert fit.intercept == pytest.approx(0, abs=0.01)
    assert (fit.first_shell, fit.last_shell) == (8, 26)


def test_r_squared_is_one_for_a_line() -> None:
    fsc = step_fsc(26)
    fit = fit_b_factor(guinier_plot(blurred_point(90), fsc, VOXEL_SIZE), fsc)
    assert fit.r_squared == pytest.approx(1, abs=1e-4)


def test_what_lies_beyond_the_resolution_does_not_count() -> None:
    fsc = np.where(np.arange(33) <= 20, 1.0, 0.1)
    fit = fit_b_factor(guinier_plot(blurred_point(90), fsc, VOXEL_SIZE), fsc)
    assert fit.last_shell == 20
    assert fit.b_factor == pytest.approx(-90, abs=0.3)


@pytest.mark.parametrize(("last", "reached"), [(9, "8.89 Å"), (5, "16.00 Å"), (0, "no resol")])
def test_too_few_shells_are_refused(last: int, reached: str) -> None:
    fsc = step_fsc(last)
    with pytest.raises(ValueError, match=f"the FSC reaches {reached}"):
        fit_b_factor(guinier_plot(blurred_point(90), fsc, VOXEL_SIZE), fsc)
