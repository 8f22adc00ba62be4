"""The two channels that the denoising network sees: standardised density and local deviation.

As Kimanius et al. (Nat. Methods 2024) apply their network. All functions take PyTorch tensors on
any device and keep them there; maps have shape (..., Z, Y, X), so a batch is done at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plugin_core.denoising.separable import along_axes

WINDOW_TAPS = 21
WINDOW_EXTENT = 1.5
"""The window is exp(-t^2) at 21 points from t = -1.5 to 1.5 along each axis, normalised."""

SMALLEST = 1e-12
"""Added to what is divided by, so that an empty map stays empty."""


def local_std(volume: Tensor) -> Tensor:
    """Return the standard deviation within a Gaussian window about every voxel.

    Parameters
    ----------
    volume : (..., Z, Y, X) float32

    Returns
    -------
    (..., Z, Y, X) float32
        Square root of the windowed variance. At the borders the window is cut and normalised anew.
    """
    centred = volume - volume.mean(dim=(-3, -2, -1), keepdim=True)  # keeps digits in the difference
    mean = _windowed_mean(centred)
    variance = _windowed_mean(centred.square()) - mean.square()
    return variance.clamp_(min=0).sqrt_()


def network_channels(volume: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Make what the network is given from a map at its voxel size.

    Neither the scale nor the offset of `volume` matters.

    Parameters
    ----------
    volume : (..., Z, Y, X) float32
    mask : (..., Z, Y, X) float32
        Soft mask, 0 to 1, of where there can be density.

    Returns
    -------
    density : (..., Z, Y, X) float32
        `volume` with mean 0 and standard deviation 1, times the mask.
    deviation : (..., Z, Y, X) float32
        :func:`local_std` with mean 1, times the mask.
    """
    std, mean = torch.std_mean(volume, dim=(-3, -2, -1), keepdim=True)
    deviation = local_std(volume)
    mean_deviation = deviation.mean(dim=(-3, -2, -1), keepdim=True)
    return (volume - mean) / (std + SMALLEST) * mask, deviation / (mean_deviation + SMALLEST) * mask


def _windowed_mean(volume: Tensor) -> Tensor:
    """Mean within the window about every voxel."""
    return along_axes(volume, *(_window(length, volume) for length in volume.shape[-3:]))


def _window(length: int, like: Tensor) -> Tensor:
    """Weights (length, length) of every voxel of an axis in the window about every other."""
    position = torch.arange(length, dtype=like.dtype, device=like.device)
    offset = position[:, None] - position
    half = WINDOW_TAPS // 2
    weights = torch.exp(-((offset * (WINDOW_EXTENT / half)) ** 2)) * (offset.abs() <= half)
    return weights / weights.sum(dim=1, keepdim=True)
