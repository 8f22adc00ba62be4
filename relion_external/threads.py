"""How many threads one call may use.

Open MPI binds each rank, and with it the hook, to one core or socket, and both half-sets' hooks run
at the same time.
"""

from __future__ import annotations

import contextlib
import os

from relion_external.system import usable_cores

_RANKS = ("PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
"""Variables that one MPI launcher or another sets in each of its processes."""


def usable_threads(requested: int | None, calls_at_once: int = 1) -> int:
    """Number of threads: as asked for, else the cores this call may use.

    Parameters
    ----------
    requested : int or None
        The option --j.
    calls_at_once : int
        How many hooks run at the same time, this one included, and share the cores.
    """
    if "OMPI_COMM_WORLD_RANK" in os.environ:
        # The binding is meant for RELION's rank, which sleeps while this program runs. A limit set
        # by the batch system (a cpuset) holds all the same.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if requested:
        return requested
    cores = usable_cores()
    return max(1, cores // calls_at_once)


def most_calls_at_once(maps: int) -> int:
    """How many of the hooks for `maps` maps RELION runs at once: each rank but the first, one.

    Without MPI they come one after the other. Where it is MPI but the number of ranks is not known,
    all at once.
    """
    ranks = os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE")
    if ranks is not None and ranks.isdecimal():
        return max(1, min(maps, int(ranks) - 1))
    return maps if any(name in os.environ for name in _RANKS) else 1
