"""The folder of a pipeliner job: how RELION learns that the job has ended, how, and what it made.

RELION starts a job in the background and then looks for one of three empty files in its folder; a
job that leaves none of them runs for ever as far as RELION, its GUI and its schemes are concerned.
To stop a job RELION kills nothing: it puts a request into the folder, for the job to find.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relion_external.errors import UserError
from relion_external.processes import TERMINATION_SIGNALS, termination_raises

SUCCESS = "RELION_JOB_EXIT_SUCCESS"
FAILURE = "RELION_JOB_EXIT_FAILURE"
ABORTED = "RELION_JOB_EXIT_ABORTED"
ABORT_REQUEST = "RELION_JOB_ABORT_NOW"
OUTPUT_NODES = "RELION_OUTPUT_NODES.star"

_POLL_S = 1.0


@dataclass(frozen=True)
class NodeType:
    """Type of an output, as RELION's pipeliner knows it.

    Attributes
    ----------
    label : str
        For RELION 4 and 5.
    number : int
        For RELION 3.1.
    """

    label: str
    number: int


MAP = NodeType("DensityMap.mrc", 6)
HALF_MAP = NodeType("DensityMap.mrc.relion.halfmap.refine3d", 10)
SHARPENED_MAP = NodeType("DensityMap.mrc.relion.postprocess", 11)
MASK = NodeType("Mask3D.mrc.relion", 7)
CUTOFF_MAP = NodeType("Image3D.mrc.relion.localresmap", 12)
REPORT = NodeType("LogFile.pdf.relion.external", 13)
PARTICLES = NodeType("ParticleGroupMetadata.star.relion", 3)
PARTICLES_RELION_4 = NodeType("ParticlesData.star.relion", 3)
OPTIMISER = NodeType("OptimiserData.star.relion", 9)
OPTIMISER_RELION_4 = NodeType("ProcessData.star.relion.optimiser", 9)


@contextmanager
def exit_status(folder: Path) -> Iterator[None]:
    """Leave exactly one exit file in `folder`, however the block ends.

    What an earlier run of the job left is removed first. While the block runs, RELION's request to
    abort ends it, as SIGTERM and SIGHUP do, by an exception that unwinds the stack. Only what
    cannot be caught (SIGKILL) leaves no exit file.

    Raises
    ------
    UserError
        If RELION asked for the job to be aborted, or the folder cannot be written to.
    """
    _begin(folder)
    outcome = FAILURE
    with termination_raises():
        request = _AbortRequest(folder / ABORT_REQUEST)
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            try:
                request.watch()
                yield
                outcome = SUCCESS
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *TERMINATION_SIGNALS})
        except SystemExit:
            if not request.seen:
                raise
            outcome = ABORTED
            raise UserError(f"aborted, because {folder / ABORT_REQUEST} asked for it") from None
        finally:
            request.ignore()
            _end(folder, outcome)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)


def write_output_nodes(folder: Path, nodes: Mapping[Path, NodeType]) -> None:
    """Tell RELION's pipeliner what the job has made; one file that RELION 3.1, 4 and 5 can read.

    Parameters
    ----------
    folder : Path
        The folder of the job.
    nodes : mapping of Path to NodeType
        Paths as RELION gave them, relative to the project; those that do not exist are left out.
    """
    import pandas as pd
    import starfile

    rows = [(str(path), kind.label, kind.number) for path, kind in nodes.items() if path.exists()]
    labels = ["rlnPipeLineNodeName", "rlnPipeLineNodeTypeLabel", "rlnPipeLineNodeType"]
    temporary = folder / f"{OUTPUT_NODES}.tmp"
    starfile.write({"output_nodes": pd.DataFrame(rows, columns=labels)}, temporary, overwrite=True)
    os.replace(temporary, folder / OUTPUT_NODES)


class _AbortRequest:
    """Watches for RELION's request to abort, and ends the main thread's work when it is there.

    Attributes
    ----------
    seen : bool
        Whether the request was there.
    """

    def __init__(self, path: Path) -> None:
        self.seen = False
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def watch(self) -> None:
        """Begin to look for the request."""
        self._thread.start()

    def ignore(self) -> None:
        """Look no longer, and drop a signal that has not been delivered yet."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.seen:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _look(self) -> None:
        while not self._path.exists():
            if self._over.wait(_POLL_S):
                return
        self.seen = True
        # Sent to the main thread, so that it is woken if it waits for a program to end.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _begin(folder: Path) -> None:
    """Make the folder and remove what an earlier run left, except a request to abort.

    RELION removes an old request before it starts a job; one that is there now came afterwards, as
    it may while the job waited in a queue.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (SUCCESS, FAILURE, ABORTED, OUTPUT_NODES):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--o {folder} cannot be used as a job's folder: {error}") from error


def _end(folder: Path, outcome: str) -> None:
    for name in {SUCCESS, FAILURE, ABORTED, ABORT_REQUEST} - {outcome}:
        (folder / name).unlink(missing_ok=True)
    (folder / outcome).touch()
