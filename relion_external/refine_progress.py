"""A refinement as it goes on: what run.out says of it, and whether RELION does as it was told."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relion_external.errors import UserError
from relion_external.history import column, read_history
from relion_external.outputs import history_path
from relion_external.refine_files import (
    final_file,
    final_map,
    iteration_file,
    resolution_angstrom,
    whole_iterations,
)


@dataclass
class Progress:
    """One line in run.out for each iteration, and a look at whether RELION does as it was told.

    Attributes
    ----------
    done : int
        The last iteration that was reported.
    """

    root: Path
    log_path: Path
    done: int
    _since: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Report the iterations that have been finished since the last look.

        Raises
        ------
        UserError
            If RELION did not know an option, or did not call the hook.
        """
        self._refuse_unknown_options()
        for iteration in whole_iterations(self.root, self.done + 1):
            self.done = iteration
            self._report(iteration_file(self.root, iteration, "half1_model"), str(iteration))

    def finish(self) -> None:
        """Report the rest, the last iteration included, in which the half-sets are joined."""
        self.look()
        if final_map(self.root).exists():
            self.done += 1
            self._report(final_file(self.root, "model"), f"{self.done} (the last, joined)")
        else:
            print(
                f" relion-external: RELION stopped after iteration {self.done}, before the "
                "refinement had converged; run this job again to continue",
                flush=True,
            )

    def _report(self, model: Path, name: str) -> None:
        entries = self._hook_calls()
        cutoffs = column(entries, "cutoff_median_angstrom").values
        resolution = resolution_angstrom(model)
        now = time.monotonic()
        parts = [
            f" relion-external: iteration {name}",
            f"resolution {resolution:.1f} Å" if resolution else "no resolution yet",
            *(f"local cutoff median {cutoff:.1f} Å" for cutoff in cutoffs),
            f"{now - self._since:.0f} s",
        ]
        self._since = now
        print(", ".join(parts), flush=True)

    def _hook_calls(self) -> list[dict[str, Any]]:
        path = history_path(self.root)
        entries = read_history(path) if path.exists() else []
        found = [entry for entry in entries if entry["iteration"] == self.done]
        if not found:
            raise UserError(
                f"RELION did not call the hook in iteration {self.done}; see {self.log_path}"
            )
        return found

    def _refuse_unknown_options(self) -> None:
        """RELION only warns of an option that it does not know, and goes on without it."""
        with self.log_path.open(errors="replace") as log:
            beginning = log.read(20_000)
        unknown = re.search(r"Option --(\S+)\s+is not a valid RELION argument", beginning)
        if unknown:
            raise UserError(
                f"relion_refine does not take --{unknown[1]} here (a refinement that is continued "
                "keeps most of what it was started with)"
            )
