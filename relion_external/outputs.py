"""The files of one hook call: their names, and what is removed before work starts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from relion_external import __version__
from relion_external.errors import UserError
from relion_external.iteration import HookCall
from relion_external.volumes import temporary_name

REGULARIZED_NAMES = {"nonuniform": "nonuniform", "denoiser": "denoised", "uniform": "uniform"}
"""By method, the end of the name of the regularised map that lies beside the joined one."""

HISTORY = "_external.jsonl"
"""End of the name of a run's history."""

QUARTERS = "_quarters_"
"""Within the name of the folder in which a call has its quarter-maps made."""


@dataclass(frozen=True)
class Outputs:
    """Where one call writes.

    Attributes
    ----------
    result : Path
        The map that RELION reads back.
    result_star : Path
        A STAR file RELION would obey if it were there; this program never writes one.
    cutoff : Path
        Local cutoff in Å.
    regularized : Path
        Beside the joined map, which is RELION's own: the locally filtered or denoised one.
    history : Path
        One line for every call of the run.
    """

    result: Path
    result_star: Path
    cutoff: Path
    regularized: Path
    history: Path

    def remove_stale(self) -> None:
        """Remove what an earlier attempt at this call left: RELION would take it for the answer."""
        for path in (self.result, self.result_star, self.cutoff, self.regularized):
            for stale in (path, temporary_name(path)):
                try:
                    stale.unlink(missing_ok=True)
                except OSError as error:
                    raise UserError(f"{stale} cannot be replaced: {error.strerror}") from error
        for folder in self.result.parent.glob(f"{self.result.stem}{QUARTERS}*"):
            shutil.rmtree(folder, ignore_errors=True)  # it is in nobody's way


def outputs_of(call: HookCall, method: str) -> Outputs:
    """Names of the outputs of `call`."""
    stem = call.result.with_suffix("")
    return Outputs(
        result=call.result,
        result_star=call.result_star,
        cutoff=stem.with_name(f"{stem.name}_cutoff.mrc"),
        regularized=stem.with_name(f"{stem.name}_{REGULARIZED_NAMES[method]}.mrc"),
        history=history_path(call.name.root),
    )


def history_path(root: Path) -> Path:
    """Path of the history of the run whose output root is `root`."""
    return root.with_name(f"{root.name}{HISTORY}")


def header_label(what: str) -> str:
    """MRC label that names this program and what the map is; at most 80 characters."""
    label = f"relion-external {__version__}: {what}"
    assert len(label) <= 80, label
    return label
