"""Trailing removes what lies beyond its shell and leaves what lies below."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.spectral_trailing import trail, trailing_shell

CURVE = np.array([1, 0.99, 0.9, 0.7, 0.4, 0.2, 0.1, 0.3])


@pytest.mark.parametrize(("distance", "shell"), [(0, 5), (2, 3), (4, 1), (9, 1)])
def test_trailing_shell(distance, shell):
    assert trailing_shell(CURVE, distance) == shell


def test_trailing_shell_of_maps_without_correlation():
    assert trailing_shell(np.zeros(8), 0) == 1


def test_trailing_cuts_at_its_shell(xp, full_radius):
    box, shell = 24, 7
    volume = np.random.default_rng(0).standard_normal((box,) * 3, dtype=np.float32)
    trailed = trail(xp.asarray(volume), shell)
    assert trailed.dtype == np.float32
    before = np.fft.fftn(volume.astype(np.float64))
    after = np.fft.fftn(to_host(trailed).astype(np.float64))
    gain = (after / before).real
    radius = full_radius(box)
    np.testing.assert_allclose(gain[radius <= shell - 1.5], 1, atol=1e-4)
    np.testing.assert_allclose(gain[radius >= shell + 1.5], 0, atol=1e-4)
    np.testing.assert_allclose(gain[radius == shell], 0.5, atol=1e-4)
    assert np.all(np.abs(after - gain * before) < 1e-3)
