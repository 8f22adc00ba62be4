"""One answer to one call of RELION's external reconstruction.

Read the call, reconstruct, regularise, cut at the evidence, write. What RELION deposits or measures
resolution from is never touched: the result is the next reference only, and where it is the final
map (the joined iteration), it is RELION's own.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import scipy.fft

from plugin_core import cost
from plugin_core.backend import Array
from plugin_core.regularizers.cutoffs import trail_regularized
from plugin_core.regularizers.interface import Regularized, RegularizerInput
from plugin_core.regularizers.nonuniform import NonuniformParameters, regularize
from relion_external import call_report, quarter_maps
from relion_external.call_evidence import evidence_of
from relion_external.call_log import Stopwatch, call_log
from relion_external.call_memory import Need, memory_explained, warn_of_little_memory
from relion_external.call_setup import Job, open_job
from relion_external.iteration import HALF, JOINED, parse_name
from relion_external.network_weights import require_torch
from relion_external.partner import partner_map

log = logging.getLogger(__name__)


def answer(options: argparse.Namespace) -> None:
    """Answer the call whose STAR file is `options.star`, and print one line about it.

    Raises
    ------
    UserError, LoggedError
        Nothing is left at the result's name then.
    """
    parse_name(options.star)  # before a log is opened beside a file that is no call at all
    with call_log(options.star.with_suffix(".log")):
        job = open_job(options, Stopwatch())
        call_report.log_start(job.call, job.previous, options, job.device, job.threads)
        with _no_result_on_failure(job):
            with scipy.fft.set_workers(job.threads):
                figures = _METHODS[options.method](job)
            call_report.finish(job.call, job.outputs, options, job.device, job.watch, figures)
        if options.clean:
            _remove_arrays(job)


def _denoised(job: Job) -> dict[str, Any]:
    require_torch()
    from relion_external.denoised_call import denoised

    return denoised(job)


def _uniform(job: Job) -> dict[str, Any]:
    with memory_explained(job.call.box, _needs(job)):
        with job.watch.stage("reconstruction"):
            volume = job.accumulated.wiener(job.options.minres_map)
        job.write(job.outputs.result, volume, "Wiener-filtered (uniform) reconstruction")
    return {}


def _nonuniform(job: Job) -> dict[str, Any]:
    with memory_explained(job.call.box, _needs(job)):
        return _regularised(job)


def _regularised(job: Job) -> dict[str, Any]:
    with job.watch.stage("reconstruction"):
        raw = job.accumulated.raw()
    job.device.release_unused()
    with job.watch.stage("regularisation"):
        found = regularize(_inputs(job, raw), _parameters(job))
    del raw
    found, figures = _trail(job, found)
    volume = found.volume
    if job.call.mode == JOINED:
        job.write(job.outputs.regularized, volume, "non-uniform REGULARISED map, not for FSC")
        with job.watch.stage("reconstruction"):
            volume = job.accumulated.wiener(job.options.minres_map)
        what = "Wiener-filtered (uniform) joined map"
    else:
        what = "non-uniform REGULARISED reference, not for FSC"
    job.write(job.outputs.cutoff, found.cutoff_angstrom, "local resolution cutoff in Angstrom")
    job.write(job.outputs.result, volume, what)
    return found.summary | figures


def _inputs(job: Job, raw: Array) -> RegularizerInput:
    partner = None
    if _risk(job) == "cross-half":
        with job.watch.stage("other half"):
            partner = partner_map(job.accumulated, job.previous, job.options.partner_timeout)
    quarters = None
    if _risk(job) == "quarter":
        with job.watch.stage("quarter-maps"):
            quarters = quarter_maps.quarter_maps(
                job.call,
                job.previous,
                job.voxel_size,
                job.options.quarter_timeout,
                job.device.xp,
            )
    return RegularizerInput(
        half_map=raw,
        partner=partner,
        support=job.support,
        noise_power=job.noise_power(raw) if _risk(job) == "split-noise" else None,
        voxel_size=job.voxel_size,
        max_shell=job.call.max_shell,
        quarters=quarters,
    )


def _parameters(job: Job) -> NonuniformParameters:
    options = job.options
    return NonuniformParameters(_risk(job), options.order, options.levels, options.awf)


def _risk(job: Job) -> str:
    """Risk as asked for, where there is what it needs.

    The joined map has no other half, and before the first iteration there are no poses to make
    quarter-maps with: there the map is judged by its noise. Log, history and run.out name the risk.
    """
    if job.call.mode == JOINED:
        return "split-noise"
    if job.options.risk == "quarter" and not quarter_maps.has_poses(job.call):
        return "split-noise"
    return str(job.options.risk)


def _trail(job: Job, found: Regularized) -> tuple[Regularized, dict[str, Any]]:
    """Cut the map and its cutoffs at the evidence of the raw half-maps, where there are any."""
    evidence = evidence_of(job)
    if evidence.trailing_shell is None:
        return found, evidence.figures
    with job.watch.stage("trailing"):
        return trail_regularized(found, evidence.trailing_shell, job.voxel_size), evidence.figures


def _remove_arrays(job: Job) -> None:
    call = job.call
    if call.mode == HALF and _risk(job) == "cross-half":
        log.warning("--clean does nothing with --risk cross-half: the other half needs the arrays")
        return
    for path in (call.data_real, call.data_imag, call.weight):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # the answer stands
            log.warning("--clean: %s cannot be removed: %s", path, error.strerror)
        else:
            log.info("removed %s", path)


@contextmanager
def _no_result_on_failure(job: Job) -> Iterator[None]:
    """Take back what was written if anything fails, the result first of all."""
    outputs = job.outputs
    try:
        yield
    except BaseException:
        for path in (outputs.result, outputs.cutoff, outputs.regularized):
            path.unlink(missing_ok=True)
        raise


def _needs(job: Job) -> list[Need]:
    grid, options = job.accumulated.grid, job.options
    predicted = cost.predict(
        grid.box,
        grid.padding,
        grid.max_shell,
        levels=options.levels,
        risk=_risk(job) if options.method == "nonuniform" else None,
        gridding=options.gridding,
    )
    free = job.device.free_bytes()
    if free is None or options.gridding:
        warn_of_little_memory(predicted.host_bytes)
    needed = predicted.host_bytes if free is None else predicted.device_bytes
    return [Need(job.device.name, needed, free)]


_METHODS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "uniform": _uniform,
    "nonuniform": _nonuniform,
    "denoiser": _denoised,
}
"""Each writes the result of a job and returns figures for the history."""
