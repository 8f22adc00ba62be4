"""How to start an MPI program here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from relion_external import system

RANKS = 3
"""A leader and one rank for each half-set."""


def mpirun_command(ranks: int = RANKS, launcher: Sequence[str] = ("mpirun",)) -> list[str]:
    """Command that starts `ranks` processes, with what Open MPI wants said as root or on few cores.

    Parameters
    ----------
    ranks : int
    launcher : sequence of str
        `mpirun` or what stands in for it, with options of its own.
    """
    command = [*launcher, "-n", str(ranks)]
    if Path(launcher[0]).name == "mpirun" and "Open MPI" in _version(launcher[0]):
        if os.geteuid() == 0:
            command.append("--allow-run-as-root")
        if system.usable_cores() < ranks:
            command.append("--oversubscribe")
    return command


def _version(launcher: str) -> str:
    return system.ask([launcher, "--version"], limit_s=30).stdout
