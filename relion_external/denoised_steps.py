"""What all ways of answering a call with the denoiser share: its input, and what is written."""

from __future__ import annotations

from collections.abc import Callable

from plugin_core.backend import Array
from plugin_core.regularizers.interface import RegularizerInput
from relion_external.call_setup import Job
from relion_external.iteration import JOINED


def denoiser_input(job: Job, seen: Array, support: Array) -> RegularizerInput:
    """What the denoiser is given; memory that it may need is given back to the GPU."""
    job.device.release_unused()
    return RegularizerInput(
        half_map=seen,
        partner=None,
        support=support,
        noise_power=None,
        voxel_size=job.voxel_size,
        max_shell=job.call.max_shell,
    )


def write_answer(job: Job, volume: Array, relions_own: Callable[[], Array]) -> None:
    """Write the denoised map: as the next reference, or beside RELION's own if that is the last."""
    if job.call.mode == JOINED:
        job.write(job.outputs.regularized, volume, "DENOISED map, not for FSC")
        job.write(job.outputs.result, relions_own(), "Wiener-filtered (uniform) joined map")
    else:
        job.write(job.outputs.result, volume, "DENOISED reference, not for FSC")
