"""What a call leaves behind for people: its log, its line in run.out, its line in the history."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from relion_external.errors import LoggedError, UserError

log = logging.getLogger("relion_external")


class Stopwatch:
    """Seconds spent in each named stage, in order.

    Attributes
    ----------
    seconds : dict of str to float
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block of code under `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start

    def total(self) -> float:
        """Seconds since this stopwatch was made."""
        return time.perf_counter() - self._start


@contextmanager
def call_log(path: Path) -> Iterator[None]:
    """Log to the file `path` while the block runs; warnings go to stderr as well.

    An error that ends the block is written there: one that the user can put right as its sentence,
    any other with its traceback, and so is a UserError that was made of another error. What the
    user cannot put right leaves as a LoggedError, which tells where the traceback is.
    """
    try:
        to_file = _LogFile(path, mode="w", encoding="utf-8")
    except OSError as error:
        raise _not_written(path, error) from error
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel(logging.WARNING)
    to_stderr.setFormatter(logging.Formatter("relion-external: warning: %(message)s"))
    log.setLevel(logging.INFO)
    log.addHandler(to_file)
    log.addHandler(to_stderr)
    try:
        yield
    except UserError as error:
        _log_failure(to_file, str(error), with_traceback=error.__cause__ is not None)
        raise
    except Exception as error:
        _log_failure(to_file, f"unexpected error: {error}")
        raise LoggedError(path) from error
    finally:
        log.removeHandler(to_file)
        log.removeHandler(to_stderr)
        with suppress(OSError):  # of what a full disk did not take, which has been told already
            to_file.close()


class _LogFile(logging.FileHandler):
    """A log that ends the call when it cannot be written, instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise _not_written(Path(self.baseFilename), error) from error
        super().handleError(record)


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(f"the log {path} cannot be written: {error.strerror}")


def append_history(path: Path, entry: dict[str, Any]) -> None:
    """Add one line of JSON to the history that reports are made from.

    Both half-sets' hooks write to the same file: one short write in append mode keeps the lines
    whole.
    """
    line = json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            written = os.write(handle, line.encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(f"the history {path} cannot be written: {error.strerror}") from error
    if written < len(line.encode()):
        raise UserError(f"the history {path} cannot be written: the disk is full")


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _log_failure(handler: logging.Handler, message: str, with_traceback: bool = True) -> None:
    """Write the current error to the log only: stderr gets one sentence."""
    trace = sys.exc_info() if with_traceback else None
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, (), trace)
    with suppress(UserError):  # the log itself may be what failed
        handler.handle(record)
