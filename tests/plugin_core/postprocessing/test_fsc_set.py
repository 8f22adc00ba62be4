from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import soft_sphere, squared_distance
from plugin_core.postprocessing.fsc_set import FscSet, box_sphere, fsc_set


@pytest.fixture(scope="module")
def curves(pair) -> FscSet:
    return fsc_set(pair.half1, pair.half2, pair.mask, pair.voxel_size)


def test_curves_have_one_value_a_shell(curves: FscSet) -> None:
    for name in ("unmasked", "spherical", "masked", "randomised", "corrected"):
        curve = getattr(curves, name)
        assert curve.shape == (33,)
        assert curve.dtype == np.float64


def test_masked_curves_are_those_of_the_masked_maps(pair, curves: FscSet) -> None:
    sphere = soft_sphere(64, 0.85 * 32, 0.15 * 32)
    for mask, curve in ((sphere, curves.spherical), (pair.mask, curves.masked)):
        expected = fourier_shell_correlation(pair.half1 * mask, pair.half2 * mask)
        np.testing.assert_array_equal(curve, expected)


def test_box_sphere_ends_at_the_faces() -> None:
    sphere = box_sphere(40, like=np.zeros(1))
    distance = np.sqrt(squared_distance(40))
    assert (sphere[distance <= 17] == 1).all()
    assert (sphere[distance >= 20] == 0).all()
    assert 0.4 < sphere[20, 20, 20 + 18] < 0.8  # a third of the way down the cosine: 0.75


def test_phases_are_random_from_where_the_unmasked_curve_drops_below_0_8(pair) -> None:
    half1, half2 = (2 * pair.signal + h for h in (pair.half1, pair.half2))  # a gentler fall
    found = fsc_set(half1, half2, pair.mask, pair.voxel_size)
    first = found.randomised_from
    assert first is not None
    assert 0.8 < found.unmasked[first - 1] < 0.9
    assert (found.unmasked[1:first] >= 0.8).all()
    assert found.unmasked[first] < 0.8
    np.testing.assert_array_equal(found.corrected[: first + 2], found.masked[: first + 2])
    assert (found.corrected[first + 2 :] != found.masked[first + 2 :]).all()


def test_tighter_masks_raise_the_curve_of_a_map_in_noise(curves: FscSet) -> None:
    band = slice(6, 20)
    unmasked, spherical, masked = (
        curve[band].mean() for curve in (curves.unmasked, curves.spherical, curves.masked)
    )
    assert unmasked < spherical < masked


def test_correlation_made_by_the_mask_is_taken_out(pair) -> None:
    """Halves that share nothing beyond shell 8, in a hard mask with detail beyond it."""
    rng = np.random.default_rng(8)
    coarse = soft_sphere(64, 14, 12)  # all its power lies in the first shells
    halves = [coarse + 0.3 * rng.standard_normal(coarse.shape, dtype=np.float32) for _ in range(2)]
    mask = (pair.signal > 0.5).astype(np.float32)
    found = fsc_set(*halves, mask, pair.voxel_size)
    assert found.masked[10:].mean() > 0.3
    assert abs(found.corrected[10:].mean()) < 0.03


def test_nothing_is_randomised_where_the_halves_agree_to_the_last_shell(pair) -> None:
    noise = np.random.default_rng(2).standard_normal((2, 64, 64, 64), dtype=np.float32)
    found = fsc_set(*(pair.signal + 1e-4 * noise), pair.mask, pair.voxel_size)
    assert found.randomised_from is None
    assert found.randomised is None
    np.testing.assert_array_equal(found.corrected, found.unmasked)
    assert found.resolution_angstrom() == pytest.approx(2 * pair.voxel_size)


@pytest.mark.parametrize(
    ("curve", "threshold", "shell"),
    [
        ([1.0, 0.9, 0.6, 0.4, 0.144, 0.142, 0.3], 0.143, 4),
        ([1.0, 0.9, 0.6, 0.4, 0.144, 0.142, 0.3], 0.5, 2),
        ([1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8], 0.143, 6),
    ],
)
def test_resolution_is_that_of_the_last_shell_before_the_drop(
    curves: FscSet, curve: list[float], threshold: float, shell: int
) -> None:
    made_up = replace(curves, box=12, voxel_size=2.0, corrected=np.array(curve))
    assert made_up.resolution_angstrom(threshold=threshold) == pytest.approx(24 / shell)


def test_no_resolution_is_infinite(curves: FscSet) -> None:
    assert replace(curves, masked=np.zeros(33)).resolution_angstrom("masked") == float("inf")


def test_a_mask_of_another_box_is_refused(pair) -> None:
    with pytest.raises(ValueError, match=r"mask is \(32, 32, 32\), the half-maps are \(64"):
        fsc_set(pair.half1, pair.half2, soft_sphere(32, 10, 3), 1.5)
