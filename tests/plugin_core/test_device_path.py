"""What a GPU would do, done by arrays that are no NumPy arrays for the code under test.

See the fixture `device`: the branches that only a GPU takes run, and nothing is left on the wrong
side. That CUDA gives the same numbers, and how fast, no stand-in can tell.
"""

from __future__ import annotations

import types

import numpy as np
import pytest

from plugin_core import backend, noise
from plugin_core.backend import array_module, to_host
from plugin_core.masks import particle_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import reconstruct
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import RISKS, NonuniformParameters, regularize
from plugin_core.simulation.accumulators import accumulate
from plugin_core.spectral_trailing import trail
from plugin_core.weights import Prior, radial_weights

BOX = 24


def half_map(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axis = np.arange(BOX) - BOX // 2
    blob = np.exp(-((axis[:, None, None] ** 2) + axis[:, None] ** 2 + axis**2) / 8)
    return (blob + 0.1 * rng.standard_normal((BOX,) * 3)).astype(np.float32)


def inputs(xp: types.ModuleType) -> RegularizerInput:
    support = particle_sphere(BOX, 12, 1.0, xp)
    maps = [xp.asarray(half_map(seed)) for seed in range(4)]
    return RegularizerInput(
        half_map=maps[0],
        partner=maps[1],
        support=support,
        noise_power=noise.from_fsc(maps[0], support, np.linspace(1, 0, BOX // 2 + 1)),
        voxel_size=3.0,
        max_shell=BOX // 2,
        quarters=(maps[2], maps[3]),
    )


def test_the_stand_in_is_as_strict_as_cupy(device):
    ours, theirs = device.zeros(3), np.zeros(3)
    assert array_module(ours) is device
    assert array_module(ours + 1) is device
    assert array_module(backend.fft_module(ours).rfft(ours)) is device
    assert type(to_host(ours)) is np.ndarray
    for mix in (lambda: ours + theirs, lambda: theirs * ours, lambda: device.maximum(ours, theirs)):
        with pytest.raises(TypeError, match="a NumPy array among those of the device"):
            mix()
    with pytest.raises(TypeError, match="a NumPy array among those of the device"):
        ours[:] = theirs


@pytest.mark.parametrize("risk", RISKS)
def test_regularisation(device, risk):
    parameters = NonuniformParameters(risk, levels=12)
    expected, found = regularize(inputs(np), parameters), regularize(inputs(device), parameters)
    assert array_module(found.volume) is array_module(found.cutoff_angstrom) is device
    np.testing.assert_allclose(to_host(found.volume), expected.volume, rtol=0, atol=1e-6)
    same = to_host(found.cutoff_angstrom) == expected.cutoff_angstrom
    assert same.mean() > 0.999
    assert found.summary == expected.summary
    trailed = trail(found.volume, 5)
    assert array_module(trailed) is device
    np.testing.assert_allclose(to_host(trailed), trail(expected.volume, 5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("gridding", [False, True])
@pytest.mark.parametrize("with_prior", [False, True])
def test_reconstruction(device, gridding, with_prior):
    grid = PaddedGrid(BOX, 2.0, 10)
    rng = np.random.default_rng(0)
    arrays = accumulate(half_map(0), grid, 100 / (1 + np.arange(11.0)), rng)
    radial = radial_weights(arrays.weight, grid)
    prior = Prior(np.where(np.arange(13) == 4, 0, 0.01), 1.0, 2) if with_prior else None
    expected = reconstruct(arrays, radial, prior, gridding=gridding)
    found = reconstruct(arrays, radial, prior, gridding=gridding, xp=device)
    assert array_module(found) is device
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-6 * abs(expected).max())
