"""How far the evidence of a call reaches: the FSC of the raw half-maps, where there is one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from plugin_core.fourier import shell_to_angstrom
from plugin_core.fsc import last_shell_above
from plugin_core.spectral_trailing import trailing_shell
from relion_external.call_setup import Job
from relion_external.iteration import CLASSIFICATION
from relion_external.options import trailing_distance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evidence:
    """Where the half-maps cease to agree, and where the reference is to end.

    Attributes
    ----------
    fsc_shell : int or None
        Last shell with FSC of at least 0.143; None in a classification, which has no half-maps.
    trailing_shell : int or None
        Where the regularised map is cut; None if it is not.
    figures : dict
        The same in Å, for the history.
    """

    fsc_shell: int | None
    trailing_shell: int | None
    figures: dict[str, Any]


def evidence_of(job: Job) -> Evidence:
    """Read the evidence off the call; warns if trailing is switched off."""
    if job.call.mode == CLASSIFICATION:
        return Evidence(None, None, {})
    fsc = job.call.fsc[: job.call.max_shell + 1]
    fsc_shell = last_shell_above(fsc)
    figures = {"fsc_0143_angstrom": rounded_angstrom(job, fsc_shell)}
    if job.options.skip_spectral_trailing:
        log.warning(
            "spectral trailing is off: the reference may hold detail beyond what the half-maps "
            "agree on, and the resolution may be inflated"
        )
        return Evidence(fsc_shell, None, figures)
    shell = trailing_shell(fsc, trailing_distance(job.options))
    figures["trailing_angstrom"] = rounded_angstrom(job, shell)
    return Evidence(fsc_shell, shell, figures)


def rounded_angstrom(job: Job, shell: int) -> float | None:
    """Resolution of a shell in Å for the history; None for shell 0, which JSON cannot say."""
    return round(shell_to_angstrom(shell, job.call.box, job.voxel_size), 3) if shell else None
