"""Regularisation by a denoising network (Kimanius et al., Nat. Methods 2024).

Importing this module imports PyTorch: callers do so only when this regulariser is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plugin_core.denoising.apply import Application, TrainedNetwork, denoise
from plugin_core.denoising.tensors import NetworkDevice, shared_threads, to_array, to_tensor
from plugin_core.regularizers.interface import Regularized, RegularizerInput

DEFAULT_TRAILING_DISTANCE = 2
"""Shells before FSC 0.143 at which the reference is cut, as in the paper: a network may add what
the data do not hold."""


@dataclass(frozen=True)
class DenoiserParameters:
    """What denoises, how and where.

    Attributes
    ----------
    trained : TrainedNetwork
    application : Application
    device : NetworkDevice
    """

    trained: TrainedNetwork
    application: Application
    device: NetworkDevice


def regularize(
    inputs: RegularizerInput,
    parameters: DenoiserParameters,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Regularized:
    """Denoise the map under its support; neither a partner nor the noise power is looked at.

    In a classification `inputs.half_map` is the Wiener-filtered map instead of a raw one. The
    result is not cut at any resolution (see :mod:`plugin_core.denoising.bands`), and has no map of
    local cutoffs.

    Raises
    ------
    ValueError
        If the stride leaves gaps, or the device cannot compute in the precision asked for.
    """
    device = parameters.device.device
    blocks = 0

    def count(done: int, total: int) -> None:
        nonlocal blocks
        blocks = total
        progress(done, total)

    with shared_threads():
        denoised = denoise(
            to_tensor(inputs.half_map, device),
            to_tensor(inputs.support, device),
            inputs.voxel_size,
            parameters.trained,
            parameters.application,
            count,
        )
    summary = {
        "network_width": parameters.trained.width,
        "network_device": parameters.device.name,
        "precision": parameters.application.precision,
        "stride": parameters.application.stride,
        "blocks": blocks,
    }
    return Regularized(to_array(denoised, inputs.half_map), None, summary)
