"""A network that is tuned to its half-set while the refinement runs (``--tune_every``).

Each half-set has a network of its own, trained on nothing but its own half-map and the FSC that
RELION shares (:mod:`plugin_core.denoising.training.tuning`), so the half-sets stay independent. It
is kept in a file beside the call's, and used until the next tuning.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from plugin_core.backend import Array
from plugin_core.denoising.network import BLOCK_SIZE, VOXEL_SIZE, DenoisingNetwork
from plugin_core.denoising.resampling import resample
from plugin_core.denoising.separable import along_axes, interpolation
from plugin_core.denoising.tensors import shared_threads, to_tensor
from plugin_core.denoising.training.trainer import Schedule
from plugin_core.denoising.training.tuning import tune
from relion_external.call_setup import Job
from relion_external.denoiser_setup import Denoiser
from relion_external.errors import UserError
from relion_external.iteration import HALF, CallName
from relion_external.network_weights import load_weights
from relion_external.training import write_weights

RATE = 2e-4

log = logging.getLogger(__name__)


def tuned(job: Job, raw: Array, denoiser: Denoiser) -> tuple[Denoiser, dict[str, Any]]:
    """Return the half-set's own network, tuned now if it is time, and figures for the history."""
    every, name = job.options.tune_every, job.call.name
    if not every or job.call.mode != HALF:
        return denoiser, {}
    _refuse_other_sampling(denoiser)
    last = (name.iteration - 1) // every * every
    if last:
        denoiser = _of_an_earlier_call(denoiser, tuned_path(name, last))
    if name.iteration % every:
        return denoiser, {}
    if job.options.precision == "float16":
        log.info("tuning is in float32: float16 is too coarse for it")
    with job.watch.stage("tuning"):
        network = _tune(job, raw, denoiser)
    path = tuned_path(name, name.iteration)
    about = {
        "made by": f"tuning to {name}, {job.options.tune_steps} steps",
        "started from": denoiser.weights.sha256,
    }
    write_weights(path, network, about)
    log.info("network tuned to this half-map: %s", path)
    return _with_weights(denoiser, path), {"tuned": True}


def _refuse_other_sampling(denoiser: Denoiser) -> None:
    weights = denoiser.weights
    if (weights.voxel_size, weights.block_size) != (VOXEL_SIZE, BLOCK_SIZE):
        raise UserError(
            f"--tune_every: {weights.path} is for voxels of {weights.voxel_size:g} Å and blocks of "
            f"{weights.block_size}, and only weights for {VOXEL_SIZE:g} Å and {BLOCK_SIZE} can be "
            "tuned"
        )


def tuned_path(name: CallName, iteration: int) -> Path:
    """File of the network that was tuned at an iteration of this half-set and class or body."""
    half = f"_half{name.half}" if name.half else ""
    return name.root.with_name(
        f"{name.root.name}_it{iteration:03d}{half}_{name.kind}{name.number:03d}_denoiser.pt"
    )


def _of_an_earlier_call(denoiser: Denoiser, path: Path) -> Denoiser:
    if not path.exists():
        log.warning("no tuned network %s: tuning starts from the weights as given", path)
        return denoiser
    log.info("tuned network: %s", path)
    return _with_weights(denoiser, path)


def _with_weights(denoiser: Denoiser, path: Path) -> Denoiser:
    weights = load_weights(path)
    return Denoiser(weights, replace(denoiser.parameters, trained=weights.trained))


def _tune(job: Job, raw: Array, denoiser: Denoiser) -> DenoisingNetwork:
    device = denoiser.parameters.device.device
    box, small = job.call.box, denoiser.box(job.call.box, job.voxel_size)
    half_map = resample(to_tensor(raw, device), small).cpu().numpy()
    support = to_tensor(job.support, device)
    along = interpolation(box, small, support)
    mask = along_axes(support, along, along, along).cpu().numpy()
    power = job.noise_power(raw)[: small // 2 + 1]
    schedule = Schedule(
        steps=job.options.tune_steps,
        learning_rate=RATE,
        recycles=0,
        seed=2 * job.call.name.iteration + (job.call.name.half or 0),  # the halves share no noise
        precision="bfloat16" if job.options.precision == "bfloat16" else "float32",
    )
    with shared_threads():
        return tune(
            denoiser.weights.network.to(device),
            half_map,
            mask,
            power * (small / box) ** 6,  # transforms are not normalised
            schedule,
        )
