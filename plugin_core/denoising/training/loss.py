"""The loss that the network learns from (Kimanius et al. 2024, Eqn 3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from plugin_core.denoising.channels import local_std
from plugin_core.denoising.network import SMALLEST_STD, DenoisingNetwork
from plugin_core.denoising.training.samples import DENSITY, LOCAL_STD, MASK, TARGET

MASK_WEIGHT = 0.05
"""Weight of the cross entropy of the mask channel, which rides along, beside the density's."""


def density_loss(network: DenoisingNetwork, batch: Tensor, recycles: int) -> tuple[Tensor, Tensor]:
    """Mean square difference of denoised and target density, and cross entropy of the mask.

    Both densities are put on the scale on which the input block has mean 0 and deviation 1, so
    that the network learns how much of what it sees is signal.

    Parameters
    ----------
    batch : (B, 4, D, D, D) float32
    recycles : int
        Times that the network is applied first, without gradient: it shall leave its own output
        alone.
    """
    density, std_channel = batch[:, DENSITY], batch[:, LOCAL_STD]
    deviation = torch.std(density, dim=(-3, -2, -1), keepdim=True)
    for _ in range(recycles):
        with torch.no_grad():
            density = network.denoise(density, std_channel)[0]
            std_channel = _renewed(std_channel, density)
    denoised, mask_logit = network.denoise(density, std_channel)
    difference = (denoised - batch[:, TARGET]) / (deviation + SMALLEST_STD)
    return difference.square().mean(), functional.binary_cross_entropy_with_logits(
        mask_logit, batch[:, MASK]
    )


def total_loss(network: DenoisingNetwork, batch: Tensor, recycles: int) -> Tensor:
    """What is minimised."""
    density, mask = density_loss(network, batch, recycles)
    return density + MASK_WEIGHT * mask


def _renewed(std_channel: Tensor, density: Tensor) -> Tensor:
    """Local standard deviation of a recycled block, on the scale of its first one.

    The scale is the mean over the whole map, which a block does not know.
    """
    with torch.autocast(density.device.type, enabled=False):  # it is a small difference
        renewed = local_std(density.float())
    axes = (-3, -2, -1)
    scale = std_channel.mean(axes, keepdim=True) / (renewed.mean(axes, keepdim=True) + SMALLEST_STD)
    return renewed * scale
