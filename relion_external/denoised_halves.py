"""Half-maps without RELION, denoised one by one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from plugin_core.backend import Device
from plugin_core.denoising.bands import bands, combine
from plugin_core.padded_grid import PaddedGrid
from plugin_core.regularizers import denoiser as denoising
from plugin_core.regularizers import uniform
from plugin_core.regularizers.interface import Regularized, RegularizerInput
from relion_external.call_memory import memory_explained
from relion_external.denoiser_setup import Denoiser, open_denoiser
from relion_external.progress import progress_bar


def denoise_halves(
    halves: Sequence[RegularizerInput],
    options: argparse.Namespace,
    device: Device,
    cut: tuple[int, int] | None,
    fsc: np.ndarray | None,
) -> list[Regularized]:
    """Denoise raw half-maps; beyond the network's resolution they are Wiener-filtered.

    Parameters
    ----------
    halves : sequence of RegularizerInput
    options : argparse.Namespace
        With `weights`, `stride`, `precision` and `gpu`.
    device : Device
        Where the maps are.
    cut : pair of int, or None
        Shells at which the denoised and the Wiener-filtered maps end.
    fsc : (shells,) float64, or None
        Of the half-maps: where it is near 1, the answer is nearly the half-map itself.

    Raises
    ------
    UserError
        If the weights or the device cannot be had, or memory runs out.
    """
    denoiser = open_denoiser(options, options.gpu.split(",")[0], device)
    box, voxel_size = halves[0].half_map.shape[0], halves[0].voxel_size
    needs = denoiser.needs(PaddedGrid(box, 1, box // 2), voxel_size, device)
    found: list[Regularized] = []
    with (
        memory_explained(box, needs),
        progress_bar(100 * len(halves), "denoising", "%") as bar,
    ):

        def advance(done: int, total: int) -> None:
            bar.update(100 * len(found) + 100 * done // max(total, 1) - bar.n)

        for inputs in halves:
            device.release_unused()
            found.append(_denoise_half(inputs, denoiser, cut, fsc, advance))
    return found


def _denoise_half(
    inputs: RegularizerInput,
    denoiser: Denoiser,
    cut: tuple[int, int] | None,
    fsc: np.ndarray | None,
    progress: Callable[[int, int], None],
) -> Regularized:
    box = inputs.half_map.shape[0]
    nyquist = denoiser.box(box, inputs.voxel_size) // 2
    split = bands(box, inputs.max_shell, nyquist, cut, fsc)
    found = denoising.regularize(inputs, denoiser.parameters, progress)
    volume = combine(
        found.volume,
        split,
        lambda: inputs.half_map * inputs.support,
        lambda: uniform.regularize(inputs).volume,
    )
    return replace(found, volume=volume, summary=found.summary | denoiser.figures)
