"""The denoiser as the options ask for it: weights, device, arithmetic.

Importing this module imports PyTorch.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass

import torch

from plugin_core import cost
from plugin_core.backend import Device, DeviceError
from plugin_core.denoising.apply import Application, denoise
from plugin_core.denoising.blocks import MARGIN, Tiling
from plugin_core.denoising.resampling import network_box
from plugin_core.denoising.tensors import select_network_device, shared_threads
from plugin_core.padded_grid import PaddedGrid
from plugin_core.regularizers.denoiser import DenoiserParameters
from relion_external import system
from relion_external.call_memory import Need
from relion_external.errors import UserError
from relion_external.network_weights import LoadedWeights, find_weights, load_weights

DEFAULT_STRIDE = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Denoiser:
    """A network that is ready to run.

    Attributes
    ----------
    weights : LoadedWeights
    parameters : DenoiserParameters
    """

    weights: LoadedWeights
    parameters: DenoiserParameters

    @property
    def figures(self) -> dict[str, str]:
        """What the history tells of it."""
        return {"weights": self.weights.path.name, "weights_sha256": self.weights.sha256}

    def box(self, box: int, voxel_size: float) -> int:
        """Voxels a side, at the network's voxel size, of a map of `box` voxels."""
        return network_box(box, voxel_size, self.weights.voxel_size)

    def needs(self, grid: PaddedGrid, voxel_size: float, arrays: Device) -> list[Need]:
        """Memory for the maps and for the network, which may be on different devices."""
        weights, device = self.weights, self.parameters.device
        maps, network = cost.predict_denoiser(
            grid, self.box(grid.box, voxel_size), weights.trained.width, weights.block_size
        )
        if device.name == arrays.name:
            return [Need(device.name, maps + network, device.free_bytes())]
        return [
            Need(arrays.name, maps, arrays.free_bytes()),
            Need(device.name, network, device.free_bytes()),
        ]

    def most_blocks(self, box: int, voxel_size: float) -> int:
        """Blocks of a map of `box` voxels if the mask leaves out nothing of it."""
        application = self.parameters.application
        tiling = Tiling(self.weights.block_size, application.stride)
        beyond = max(self.box(box, voxel_size) - tiling.inner, 0)
        return (-(-beyond // tiling.stride) + 1) ** 3

    def denoise_one_block(self) -> None:
        """Do what takes the time of a map, once, so that it can be timed."""
        size, voxel_size = self.weights.block_size, self.weights.voxel_size
        # A mask that the inner part of one block covers.
        mask = torch.zeros((size,) * 3, device=self.parameters.device.device)
        mask[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
        with shared_threads():
            denoise(mask, mask, voxel_size, self.parameters.trained, self.parameters.application)


def open_denoiser(
    options: argparse.Namespace,
    request: str,
    arrays: Device,
    published: bool = False,
    default_stride: int = DEFAULT_STRIDE,
) -> Denoiser:
    """Load the weights, choose the device, and log both.

    Parameters
    ----------
    options : argparse.Namespace
        With `weights`, `stride` and `precision`.
    request : str
        The device that was asked for.
    arrays : Device
        Where the maps are.
    published : bool
        Lay the blocks as relion-blush does.

    Raises
    ------
    UserError
        If anything of it cannot be had.
    """
    found = find_weights(options.weights)
    weights = load_weights(found.path)
    log.info("weights: %s (%s), SHA-256 %s", found.path, found.origin, weights.sha256)
    try:
        device = select_network_device(request, arrays)
    except DeviceError as error:
        raise UserError(str(error)) from error
    log.info("network: width %d, PyTorch %s", weights.trained.width, torch.__version__)
    log.info("network runs on: %s", device.description)
    free = device.free_bytes()
    application = Application(
        options.stride or default_stride,
        options.precision or "float32",
        published,
        system.available_memory() if free is None else free,
    )
    if application.precision == "float16" and device.device.type == "cpu":
        raise UserError(
            "--precision float16 takes a GPU; on the CPU there are float32 and bfloat16"
        )
    try:
        Tiling(weights.block_size, application.stride)
    except ValueError as error:
        raise UserError(f"--stride {application.stride}: {error}") from error
    return Denoiser(weights, DenoiserParameters(weights.trained, application, device))
