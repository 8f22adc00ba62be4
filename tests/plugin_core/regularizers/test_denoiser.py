"""The denoiser behind the one signature of all regularisers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.backend import Device
from plugin_core.denoising.apply import Application, TrainedNetwork
from plugin_core.denoising.network import DenoisingNetwork
from plugin_core.denoising.tensors import select_network_device
from plugin_core.masks import soft_sphere
from plugin_core.regularizers.denoiser import DenoiserParameters, regularize
from plugin_core.regularizers.interface import RegularizerInput


@pytest.fixture
def network() -> TrainedNetwork:
    torch.manual_seed(1)
    return TrainedNetwork(DenoisingNetwork(2).eval())


def inputs(xp, **changes) -> RegularizerInput:
    rng = np.random.default_rng(1)
    known = {
        "half_map": xp.asarray(rng.standard_normal((40, 40, 40)).astype(np.float32)),
        "partner": None,
        "support": soft_sphere(40, 14, 4.0, xp),
        "noise_power": None,
        "voxel_size": 1.5,
        "max_shell": 18,
    }
    return RegularizerInput(**known | changes)


def parameters(network: TrainedNetwork, xp=np) -> DenoiserParameters:
    request = "cpu" if xp is np else "0"
    device = select_network_device(request, Device("CPU", ""))
    return DenoiserParameters(network, Application(stride=32), device)


def test_the_map_comes_back_denoised_as_the_array_it_was(xp, network):
    given, told = inputs(xp), []
    found = regularize(given, parameters(network, xp), lambda *step: told.append(step))
    assert type(found.volume) is type(given.half_map)
    assert (found.volume.shape, found.volume.dtype) == ((40, 40, 40), np.float32)
    assert not found.volume[given.support == 0].any()
    before = given.half_map * given.support
    assert float(abs(found.volume - before).std()) > 0.1 * float(before.std())
    assert found.cutoff_angstrom is None
    assert told[-1] == (1, 1)
    assert found.summary == {
        "network_width": 2,
        "network_device": "CPU" if xp is np else "GPU 0",
        "precision": "float32",
        "stride": 32,
        "blocks": 1,
    }


def test_only_the_map_the_support_and_the_voxel_size_are_looked_at(network):
    """Bit for bit: a partner would tie the half-sets together."""
    expected = regularize(inputs(np), parameters(network)).volume
    changed = inputs(
        np,
        partner=np.ones((40, 40, 40), np.float32),
        noise_power=np.full(21, np.nan),
        max_shell=2,
    )
    np.testing.assert_array_equal(regularize(changed, parameters(network)).volume, expected)
    for change in ({"voxel_size": 1.6}, {"support": soft_sphere(40, 12, 4.0)}):
        other = regularize(inputs(np, **change), parameters(network)).volume
        assert not np.array_equal(other, expected)
