from __future__ import annotations

import numpy as np
import pytest

from plugin_core.fourier import irfftn, rfftn
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import soft_sphere
from plugin_core.postprocessing.conical_fsc import ConicalFsc, conical_fsc

BOX, VOXEL_SIZE = 48, 1.5


def noisy_pair(missing_cone_degrees: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """White signal in a ball, under noise that overtakes it; a cone about z may be missing."""
    rng = np.random.default_rng(seed)
    index = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = index[:, None, None], index[:, None], np.arange(BOX // 2 + 1)
    radius = np.sqrt(x**2 + y**2 + z**2)
    ball = soft_sphere(BOX, 13, 3) * rng.standard_normal((BOX,) * 3, dtype=np.float32)
    transform = rfftn(ball) * np.exp(-((radius / 14) ** 6)).astype(np.float32)
    if missing_cone_degrees:
        inside = abs(z) > np.cos(np.radians(missing_cone_degrees)) * radius
        transform[inside] = 0
    signal = irfftn(transform, BOX)
    mask = soft_sphere(BOX, 16, 5)
    noise = np.float32(0.1) * rng.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    return (signal + noise[0]) * mask, (signal + noise[1]) * mask


def voxel_by_voxel(
    map1: np.ndarray, map2: np.ndarray, axis: np.ndarray, half_angle: float
) -> np.ndarray:
    """FSC in one double cone, each voxel of the full transform tested against the cone."""
    index = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = np.meshgrid(index, index, index, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    along = abs(axis[0] * x + axis[1] * y + axis[2] * z)
    shell = np.floor(radius + 0.5).astype(int)
    inside = (along >= np.cos(np.radians(half_angle)) * radius) & (shell <= BOX // 2)
    f1, f2 = (np.fft.fftn(m.astype(np.float64))[inside] for m in (map1, map2))
    cross, power1, power2 = (
        np.bincount(shell[inside], values)
        for values in ((f1 * f2.conj()).real, abs(f1) ** 2, abs(f2) ** 2)
    )
    with np.errstate(invalid="ignore"):  # next to the origin a cone is empty
        return cross / np.sqrt(power1 * power2)


@pytest.fixture(scope="module")
def isotropic() -> ConicalFsc:
    return conical_fsc(*noisy_pair(), VOXEL_SIZE)


def test_a_cone_as_wide_as_the_sphere_gives_the_fsc() -> None:
    pair = noisy_pair()
    found = conical_fsc(*pair, VOXEL_SIZE, count=3, half_angle=90.0)
    expected = fourier_shell_correlation(*pair)
    np.testing.assert_allclose(found.curves, np.tile(expected, (3, 1)), atol=1e-5)


def test_cones_agree_with_a_sum_voxel_by_voxel(isotropic: ConicalFsc) -> None:
    """But for voxels within half a cell of the surface, a twentieth of a cone."""
    pair = noisy_pair()
    shells = np.arange(6, BOX // 2 + 1)
    independent = (1 - np.cos(np.radians(20))) * 2 * np.pi * shells**2
    for number in (0, 100, 299):
        expected = voxel_by_voxel(*pair, isotropic.directions[number], 20.0)[6:]
        deviation = isotropic.curves[number, 6:] - expected
        assert np.sqrt(np.mean(deviation**2 * independent)) < 0.3  # of a standard error


def test_an_isotropic_pair_has_a_ratio_near_one(isotropic: ConicalFsc) -> None:
    assert isotropic.curves.shape == (300, BOX // 2 + 1)
    assert isotropic.area_ratio > 0.8
    resolution = isotropic.resolution_angstrom
    assert resolution.max() / resolution.min() < 1.4


def test_a_missing_cone_is_found_and_lowers_the_ratio(isotropic: ConicalFsc) -> None:
    found = conical_fsc(*noisy_pair(missing_cone_degrees=35.0), VOXEL_SIZE)
    assert found.area_ratio < 0.5 * isotropic.area_ratio
    worst = found.directions[found.areas.argmin()]
    assert np.degrees(np.arccos(worst[2])) < 10
    equator = found.directions[:, 2] < 0.3
    assert found.resolution_angstrom[found.areas.argmin()] > (
        1.5 * np.median(found.resolution_angstrom[equator])
    )


def test_identical_maps_agree_in_every_cone() -> None:
    volume = noisy_pair()[0]
    found = conical_fsc(volume, volume, VOXEL_SIZE, count=20)
    np.testing.assert_allclose(found.curves, 1, atol=1e-6)
    np.testing.assert_allclose(found.resolution_angstrom, 2 * VOXEL_SIZE)
    assert found.area_ratio == pytest.approx(1)


def test_the_area_ends_at_the_resolution_of_the_whole() -> None:
    whole = np.array([1, 0.9, 0.5, 0.2, 0.1])
    curves = np.array([[1, 0.9, 0.5, 0.1, 0.9], [1, 0.8, 0.2, 0.2, 0.1]])
    found = ConicalFsc(np.eye(3)[:2], whole, curves, np.zeros(2))
    np.testing.assert_allclose(found.areas, [0.5, 0.4])
    assert found.area_ratio == pytest.approx(0.8)


def test_next_to_the_origin_curves_are_those_of_the_whole_shell(isotropic: ConicalFsc) -> None:
    """Shell 5 has 2 pi 5^2 independent voxels, of which a cone of 20 degrees holds 9.5."""
    np.testing.assert_array_equal(isotropic.curves[:, :6], np.tile(isotropic.whole[:6], (300, 1)))
    assert (isotropic.curves[:, 6] != isotropic.whole[6]).all()


def test_without_signal_there_is_no_ratio() -> None:
    found = ConicalFsc(np.eye(3)[:2], np.zeros(5), np.zeros((2, 5)), np.zeros(2))
    assert np.isnan(found.area_ratio)


def test_maps_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        conical_fsc(np.zeros((4, 4, 4)), np.zeros((6, 6, 6)), 1.0)
