"""Cubes kept plane by plane, against NumPy's transforms of whole cubes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from plugin_core import backend
from plugin_core.backend import to_host
from plugin_core.fourier import radii
from plugin_core.planes import Planes

SHAPES = [(16, 9), (16, 8), (16, 3), (16, 1), (15, 8), (15, 7), (15, 4)]  # box, limit


@pytest.fixture(autouse=True, params=[None, 300], ids=["one slab", "many slabs"])
def _slabs(request, monkeypatch):
    """The default slab size on one thread, and one that cuts every axis, on two threads."""
    if request.param is not None:
        monkeypatch.setattr(backend, "_SLAB_ELEMENTS", request.param)
        monkeypatch.setattr(backend, "DEVICE_SLAB_ELEMENTS", request.param)
    with scipy.fft.set_workers(2 if request.param else 1):
        yield


def signed(box: int) -> np.ndarray:
    return np.fft.fftfreq(box, 1 / box)


def whole(box: int, xp=np) -> Planes:
    return Planes(xp.empty((box, box, box // 2 + 1), np.complex64))


def noise(box: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((box,) * 3, dtype=np.float32)


def limited(transform: np.ndarray, limit: int, axes: str) -> np.ndarray:
    """Set frequencies of a full complex transform from `limit` on to zero, along some axes."""
    box = transform.shape[0]
    keep = abs(signed(box)) < limit
    for axis, name in enumerate("zyx"):
        if name in axes:
            transform = np.moveaxis(np.moveaxis(transform, axis, -1) * keep, -1, axis)
    return transform


def planes_of(cube: Planes, box: int) -> np.ndarray:
    """All planes, read a few at a time."""
    slices = [slice(z, min(z + 3, box)) for z in range(0, box, 3)]
    return np.concatenate([to_host(cube.read(z)) for z in slices])


@pytest.mark.parametrize(("box", "limit"), SHAPES)
def test_a_cube_is_filled_with_a_filtered_map(xp, box, limit):
    volume = noise(box)
    cube = whole(box, xp)
    cube.set_limit(limit)
    cube.fill(xp.asarray(np.fft.rfftn(volume).astype(np.complex64)), np.exp(-radii(box) / 4))
    radius = np.sqrt(sum(np.meshgrid(*[signed(box) ** 2] * 3, indexing="ij")))
    expected = np.fft.ifftn(limited(np.fft.fftn(volume) * np.exp(-radius / 4), limit, "zyx")).real
    found = planes_of(cube, box)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=4e-7 * abs(expected).max())


@pytest.mark.parametrize(("box", "limit"), SHAPES)
def test_planes_that_are_written_are_convolved(xp, box, limit):
    volume = noise(box)
    cube = whole(box, xp)
    cube.set_limit(limit)
    gain = np.exp(-(signed(box) ** 2) / 9).astype(np.float32)
    for z in (slice(0, 5), slice(5, box)):
        cube.write(z, xp.asarray(volume[z]))
    cube.convolve(gain, gain[: box // 2 + 1])
    transform = np.fft.fftn(volume) * gain[:, None, None] * gain[:, None] * gain
    expected = np.fft.ifftn(limited(transform, limit, "yx")).real
    found = planes_of(cube, box)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=4e-7 * abs(volume).max())


def test_a_limit_beyond_all_frequencies_keeps_them_all(xp):
    volume = noise(12)
    cube = whole(12, xp)
    cube.set_limit(99)
    cube.fill(xp.asarray(np.fft.rfftn(volume).astype(np.complex64)), np.ones_like(radii(12)))
    np.testing.assert_allclose(planes_of(cube, 12), volume, rtol=0, atol=1e-6)


def test_two_cubes_may_share_memory_if_one_is_written_while_the_other_is_read(xp):
    volume = noise(12)
    memory = xp.empty((12, 12, 7), np.complex64)
    read, written = Planes(memory), Planes(memory)
    read.fill(xp.asarray(np.fft.rfftn(volume).astype(np.complex64)), np.ones_like(radii(12)))
    written.set_limit(4)
    backend.for_slabs(xp.empty((12, 12, 12)), lambda z: written.write(z, 2 * read.read(z)))
    written.convolve(np.ones(12, np.float32), np.ones(7, np.float32))
    expected = np.fft.ifftn(limited(np.fft.fftn(2 * volume), 4, "yx")).real
    np.testing.assert_allclose(planes_of(written, 12), expected, rtol=0, atol=1e-6)
