"""A whole map through the denoising network (Kimanius et al., Nat. Methods 2024, Methods).

Resampled to the network's voxel size, standardised and masked, cut into blocks that are denoised
one by one, averaged where they overlap, and brought back to the map's own sampling and scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from plugin_core.cost import block_bytes
from plugin_core.denoising.blocks import (
    Tiling,
    apply_by_blocks,
    covering_blocks,
    published_blocks,
)
from plugin_core.denoising.channels import network_channels
from plugin_core.denoising.network import BLOCK_SIZE, VOXEL_SIZE, DenoisingNetwork
from plugin_core.denoising.resampling import network_box, resample
from plugin_core.denoising.separable import along_axes, interpolation

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""What the convolutions are computed in; all else is float32."""

_MOST_BLOCKS = {"cpu": 2, "cuda": 8}
"""Blocks at a time, if memory allows: more are no faster."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and what it was trained on.

    Attributes
    ----------
    network : DenoisingNetwork
        In evaluation mode.
    voxel_size : float
        In Å.
    block_size : int
        Voxels a side of its blocks.
    """

    network: DenoisingNetwork
    voxel_size: float = VOXEL_SIZE
    block_size: int = BLOCK_SIZE

    @property
    def width(self) -> int:
        """Channels at full resolution."""
        return self.network.outc.in_channels


@dataclass(frozen=True)
class Application:
    """How a network is applied.

    Attributes
    ----------
    stride : int
        Largest distance of blocks in voxels; smaller is slower, and averages more.
    precision : str
        One of PRECISIONS.
    published : bool
        Lay the blocks and multiply by the mask as relion-blush does.
    free_bytes : int or None
        Memory that may be used; None where that is no concern.
    """

    stride: int
    precision: str = "float32"
    published: bool = False
    free_bytes: int | None = None


@torch.inference_mode()
def denoise(
    volume: Tensor,
    mask: Tensor,
    voxel_size: float,
    trained: TrainedNetwork,
    application: Application,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Denoise a map under a mask.

    A network that finds no noise would give the map back, times the mask. On one device, and with
    as many blocks at a time, the result is the same to the last bit.

    Parameters
    ----------
    volume, mask : (N, N, N) float32
        On the device where the network is to run. The mask is soft, 0 to 1.
    voxel_size : float
        In Å.
    progress : callable
        Told the number of blocks done, and of all.

    Returns
    -------
    (N, N, N) float32
        Without what the network's grid cannot hold: beyond a resolution of twice its voxel size.
        Zero outside the mask.

    Raises
    ------
    ValueError
        If the stride leaves gaps, or the device cannot compute in this precision.
    """
    tiling = Tiling(trained.block_size, application.stride)
    data_type = _data_type(application.precision, volume.device)
    network = _placed(trained.network, volume.device)
    box, small_box = volume.shape[0], network_box(volume.shape[0], voxel_size, trained.voxel_size)
    small = resample(volume, small_box)
    small_mask = along_axes(mask, *[interpolation(box, small_box, mask)] * 3)
    layout = published_blocks if application.published else covering_blocks

    def denoise_blocks(density: Tensor, deviation: Tensor) -> Tensor:
        with torch.autocast(volume.device.type, data_type, enabled=data_type != torch.float32):
            return network.denoise(density, deviation)[0]

    channels = network_channels(small, small_mask)
    with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        denoised = apply_by_blocks(
            channels,
            layout(small_mask, tiling),
            tiling,
            denoise_blocks,
            _batch_size(trained, application, volume.device),
            progress,
        )
    std, mean = torch.std_mean(small)
    if application.published:
        return resample((denoised * std + mean) * small_mask, box)
    # What was taken away is brought back to the map's sampling, not what is left: the product with
    # the mask has frequencies beyond the coarser grid's, which would fold over.
    removed = resample((channels[0] - denoised) * std, box)
    return torch.where(mask > 0, resample(small, box) * mask - removed, 0)


def _placed(network: DenoisingNetwork, device: torch.device) -> DenoisingNetwork:
    """The network on a device; on a CPU with the channels of a voxel side by side.

    That takes two thirds of the time at width 8, and as long at width 16.
    """
    if device.type != "cpu":
        return network.to(device)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _batch_size(trained: TrainedNetwork, application: Application, device: torch.device) -> int:
    """Blocks at a time: fewer where half of the free memory does not hold them."""
    most = _MOST_BLOCKS.get(device.type, 1)
    if application.free_bytes is None:
        return most
    fitting = application.free_bytes // (2 * block_bytes(trained.width, trained.block_size))
    return max(1, min(most, fitting))


def _data_type(precision: str, device: torch.device) -> torch.dtype:
    if precision not in PRECISIONS:
        raise ValueError(f"the precision must be {', '.join(PRECISIONS)}, not {precision!r}")
    if precision == "float16" and device.type == "cpu":
        raise ValueError("float16 takes a GPU; on the CPU there are float32 and bfloat16")
    return PRECISIONS[precision]
