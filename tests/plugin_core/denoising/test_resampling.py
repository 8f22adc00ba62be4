"""Against maps whose values between voxels are known: sums of plane waves and Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.resampling import network_box, resample


def band_limited(box: int, last: int, seed: int = 1) -> torch.Tensor:
    """Random map without power beyond frequency `last` along any axis."""
    rng = np.random.default_rng(seed)
    transform = np.fft.fftn(rng.standard_normal((box,) * 3))
    inside = np.abs(np.fft.fftfreq(box, 1 / box)) <= last
    kept = inside[:, None, None] & inside[:, None] & inside
    return torch.from_numpy(np.fft.ifftn(transform * kept).real.astype(np.float32))


def blob(box: int, voxel_size: float) -> torch.Tensor:
    """Gaussian of 8 Å, 5, -4 and 7 Å off the origin along z, y and x."""
    axis = (np.arange(box) - box // 2) * voxel_size
    square = ((axis - 5) ** 2)[:, None, None] + ((axis + 4) ** 2)[:, None] + (axis - 7) ** 2
    return torch.from_numpy(np.exp(-square / (2 * 8.0**2)).astype(np.float32))


@pytest.mark.parametrize(("box", "other"), [(32, 20), (20, 32), (33, 20), (32, 21), (27, 41)])
def test_a_band_limited_map_comes_back_exactly(box, other):
    volume = band_limited(box, (min(box, other) - 1) // 2)
    there = resample(volume, other)
    assert there.shape == (other,) * 3
    back = resample(there, box)
    assert float((back - volume).abs().max()) < 2e-6 * float(volume.abs().max())


@pytest.mark.parametrize(("box", "other"), [(64, 46), (64, 100), (65, 46), (64, 47), (63, 99)])
def test_density_stays_where_it_is_and_as_strong_as_it_is(box, other):
    extent = 130.0
    found = resample(blob(box, extent / box), other)
    np.testing.assert_allclose(found, blob(other, extent / other), atol=2e-6)


def test_what_the_coarser_grid_cannot_hold_is_cut():
    """The finest waves, and those at its Nyquist frequency, are gone; the others are unchanged."""
    low, high = band_limited(32, 9), band_limited(32, 16, seed=2) - band_limited(32, 9, seed=2)
    found = resample(resample(low + high, 20), 32)
    assert float((found - low).abs().max()) < 1e-5


def test_the_same_box_is_left_alone():
    volume = band_limited(16, 8)
    assert resample(volume, 16) is volume


@pytest.mark.parametrize(
    ("box", "voxel_size", "expected"),
    [(256, 1.06, 180), (128, 1.5, 128), (100, 0.5, 34), (96, 5.0, 320), (200, 0.8137, 108)],
)
def test_the_new_box_is_even_and_its_voxels_are_nearly_as_wanted(box, voxel_size, expected):
    assert network_box(box, voxel_size, 1.5) == expected


def test_the_voxel_size_is_never_off_by_more_than_a_voxel_in_the_box():
    for voxel_size in np.linspace(0.5, 5, 181):
        for box in (64, 65, 96, 250, 363):
            extent = box * voxel_size
            found = network_box(box, voxel_size, 1.5)
            assert found % 2 == 0
            assert abs(extent / found - 1.5) <= 1.5 / found + 1e-9
