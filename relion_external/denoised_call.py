"""One call of the hook answered by the denoiser.

A refinement gives the network the raw map, a classification the Wiener-filtered one; where the
half-maps hardly differ the raw map goes into the answer too, and what lies beyond the network's
resolution comes from the Wiener filter. Each half-set is denoised by itself: nothing waits for the
other, and both may use one GPU if its memory holds both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from plugin_core.backend import Array
from plugin_core.denoising.bands import NETWORK_ERROR, bands, combine, unjoined
from plugin_core.fourier import shell_to_angstrom
from plugin_core.fsc import last_shell_above
from plugin_core.regularizers.denoiser import regularize
from relion_external import blush_compatible
from relion_external.call_evidence import evidence_of, rounded_angstrom
from relion_external.call_memory import memory_explained
from relion_external.call_setup import Job, device_request
from relion_external.denoised_steps import denoiser_input, write_answer
from relion_external.denoiser_setup import Denoiser, open_denoiser
from relion_external.errors import UserError
from relion_external.iteration import CLASSIFICATION
from relion_external.tuned_call import tuned


def denoised(job: Job) -> dict[str, Any]:
    """Write the denoised map of a call, and return figures for the history.

    Raises
    ------
    UserError
        If the weights or the device cannot be had, or memory runs out.
    """
    if job.options.blush_compatible and job.options.tune_every:
        raise UserError("--tune_every is not what relion-blush does: leave out --blush_compatible")
    request = device_request(job.call, job.options.gpu)
    if job.options.blush_compatible:
        answer = blush_compatible.answer
        denoiser = blush_compatible.open_as_blush(job, request)
    else:
        answer = _answer
        denoiser = open_denoiser(job.options, request, job.device)
    needs = denoiser.needs(job.accumulated.grid, job.voxel_size, job.device)
    with memory_explained(job.call.box, needs):
        figures = answer(job, denoiser)
    return denoiser.figures | figures


def _answer(job: Job, denoiser: Denoiser) -> dict[str, Any]:
    @functools.cache
    def wiener() -> Array:
        with job.watch.stage("reconstruction"):
            return job.accumulated.wiener(job.options.minres_map)

    if job.call.mode == CLASSIFICATION:
        seen = wiener()
    else:
        with job.watch.stage("reconstruction"):
            seen = job.accumulated.raw()
    denoiser, tuning = tuned(job, seen, denoiser)
    with job.watch.stage("regularisation"):
        found = regularize(denoiser_input(job, seen, job.support), denoiser.parameters)
    volume, figures = _within_evidence(job, denoiser, found.volume, seen, wiener)
    write_answer(job, volume, wiener)
    return found.summary | denoiser.figures | tuning | figures


def _within_evidence(
    job: Job, denoiser: Denoiser, volume: Array, seen: Array, wiener: Callable[[], Array]
) -> tuple[Array, dict[str, Any]]:
    """Cut the map at the evidence, and fill in what the network does not know as well."""
    evidence = evidence_of(job)
    box = job.call.box
    nyquist = denoiser.box(box, job.voxel_size) // 2
    cut = None
    if evidence.fsc_shell is not None and evidence.trailing_shell is not None:
        cut = (evidence.trailing_shell, max(evidence.fsc_shell, 1))
    fsc = None if job.call.mode == CLASSIFICATION else job.fsc
    split = bands(box, job.call.max_shell, nyquist, cut, fsc)
    figures = dict(evidence.figures)
    if fsc is not None:
        shell = last_shell_above(unjoined(fsc), 1 / (1 + NETWORK_ERROR))
        figures["half_map_to_angstrom"] = rounded_angstrom(job, shell)
    if split.wiener.any():
        beyond = shell_to_angstrom(nyquist, box, job.voxel_size)
        figures["wiener_beyond_angstrom"] = round(beyond, 3)
    with job.watch.stage("trailing"):
        masked = (lambda: seen * job.support, lambda: wiener() * job.support)
        return combine(volume, split, *masked), figures
