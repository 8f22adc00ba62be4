"""One call answered as relion-blush answers it (``--blush_compatible``).

For who needs the same result: its reconstructions, its spherical mask, its blocks, its cut at the
FSC and its change-over to the Wiener-filtered map (:mod:`plugin_core.denoising.blush`). Only
sub-tomograms are scaled otherwise, as RELION needs it.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

from plugin_core.backend import Array, Device
from plugin_core.denoising import blush
from plugin_core.fourier import shell_to_angstrom
from plugin_core.regularizers.denoiser import regularize
from plugin_core.weights import Prior
from relion_external.call_setup import Job
from relion_external.denoised_steps import denoiser_input, write_answer
from relion_external.denoiser_setup import Denoiser, open_denoiser
from relion_external.errors import UserError
from relion_external.iteration import CLASSIFICATION, resolve_particle_diameter


def open_as_blush(job: Job, request: str) -> Denoiser:
    """Load the weights as :func:`open_published` does, for one call."""
    return open_published(job.options, request, job.device)


def open_published(options: argparse.Namespace, request: str, arrays: Device) -> Denoiser:
    """Load the weights; UserError if an option is given that relion-blush has no counterpart of."""
    for name, given in (
        ("mask", options.mask is not None),
        ("trailing_distance", options.trailing_distance is not None),
        ("gridding", options.gridding),
    ):
        if given:
            raise UserError(f"--{name} cannot be given with --blush_compatible, which has its own")
    return open_denoiser(options, request, arrays, True, blush.STRIDE)


def answer(job: Job, denoiser: Denoiser) -> dict[str, Any]:
    """Write the denoised map of a call, and return figures for the history."""

    @functools.cache
    def regularised() -> Array:
        call, arrays = job.call, job.accumulated
        prior = Prior(call.tau2, call.tau2_fudge, 0)
        with job.watch.stage("reconstruction"):
            return blush.regularised(
                arrays.arrays, arrays.radial, prior, arrays.data_dimension, arrays.xp
            )

    mask = _mask(job)
    seen = regularised() if job.call.mode == CLASSIFICATION else _unfiltered(job)
    with job.watch.stage("regularisation"):
        found = regularize(denoiser_input(job, seen, mask), denoiser.parameters)
    small_box = denoiser.box(job.call.box, job.voxel_size)
    figures: dict[str, Any] = {"blush_compatible": True}
    with job.watch.stage("trailing"):
        if job.call.mode == CLASSIFICATION:
            volume = blush.finish_classification(found.volume, regularised(), small_box)
        else:
            shell = blush.trailing_shell(job.call.fsc)
            trails = not job.options.skip_spectral_trailing
            volume = blush.finish_refinement(
                found.volume, lambda: regularised() * mask, shell, small_box, trails
            )
            if trails:
                angstrom = shell_to_angstrom(shell, job.call.box, job.voxel_size)
                figures["trailing_angstrom"] = round(angstrom, 3)
    write_answer(job, volume, regularised)
    return found.summary | figures


def _unfiltered(job: Job) -> Array:
    arrays = job.accumulated
    with job.watch.stage("reconstruction"):
        return blush.unfiltered(arrays.arrays, arrays.radial, arrays.data_dimension, arrays.xp)


def _mask(job: Job) -> Array:
    box, voxel_size = job.call.box, job.voxel_size
    diameter = resolve_particle_diameter(job.call, job.previous, job.options.particle_diameter)
    if job.call.mode == CLASSIFICATION:
        return blush.classification_mask(box, diameter, voxel_size, job.device.xp)
    return blush.refinement_mask(box, diameter, voxel_size, job.device.xp)
