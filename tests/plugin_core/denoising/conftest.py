"""Small networks whose answer is known, or has a known symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugin_core.denoising.apply import TrainedNetwork


@pytest.fixture
def random_network() -> TrainedNetwork:
    """A narrow network with random weights, which changes a map a good deal."""
    torch = pytest.importorskip("torch")
    from plugin_core.denoising.apply import TrainedNetwork
    from plugin_core.denoising.network import DenoisingNetwork

    torch.manual_seed(11)
    network = DenoisingNetwork(width=2).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    network.outc.weight *= 3
    return TrainedNetwork(network)


@pytest.fixture
def identity_network(random_network: TrainedNetwork) -> TrainedNetwork:
    """A network that finds no noise."""
    random_network.network.outc.weight.zero_()
    random_network.network.outc.bias.zero_()
    return random_network


@pytest.fixture
def symmetric_network(random_network: TrainedNetwork) -> TrainedNetwork:
    """A network whose kernels are the same from all six sides, so that it knows no direction."""
    import torch

    for name, weight in random_network.network.named_parameters():
        if "conv" in name and weight.ndim == 5 and weight.shape[-1] == 3:
            turned = [weight, weight.flip(2)]
            turned += [t.flip(3) for t in turned]
            turned += [t.flip(4) for t in turned]
            axes = ((2, 3, 4), (2, 4, 3), (3, 2, 4), (3, 4, 2), (4, 2, 3), (4, 3, 2))
            all_turned = [t.permute(0, 1, *order) for t in turned for order in axes]
            weight.copy_(torch.stack(all_turned).mean(0) * 5)  # averaging made them weaker
    return random_network
