"""How many threads one call may use.

Open MPI binds each rank, and with it the hook, to one core or socket, and both half-sets' hooks run
at the same time.
"""

from __future__ import annotations

import contextlib
import os

from relion_external.system import usable_cores


def usable_threads(requested: int | None, shares_machine: bool) -> int:
    """Number of threads: as asked for, else the cores this call may use.

    Parameters
    ----------
    requested : int or None
        The option --j.
    shares_machine : bool
        Whether another hook runs at the same time: then half of the cores.
    """
    if "OMPI_COMM_WORLD_RANK" in os.environ:
        # The binding is meant for RELION's rank, which sleeps while this program runs. A limit set
        # by the batch system (a cpuset) holds all the same.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if requested:
        return requested
    cores = usable_cores()
    return max(1, cores // 2 if shares_machine else cores)
