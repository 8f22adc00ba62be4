"""Run a long program with a log, a time limit and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from relion_external.errors import UserError

TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

_PATIENCE_S = 10.0  # between asking a program to end and ending it


def run_to_the_end(
    command: Sequence[str],
    *,
    working_folder: Path,
    log_path: Path,
    time_limit_s: float,
    environment: dict[str, str],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Run `command` until it ends; its output goes to `log_path`.

    `on_wait` is called about once a second. If it raises, if the time limit passes or if this
    program is interrupted or terminated, the command and all that it has started are ended first.

    Raises
    ------
    UserError
        If the command fails, with the first error in its log, or runs out of time.
    """
    with termination_raises(), log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=working_folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + time_limit_s
        try:
            while True:
                try:
                    status = process.wait(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    on_wait()
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{command[0]} took longer than {time_limit_s:.0f} s and was ended; "
                        f"see {log_path}"
                    )
        finally:
            _end_session(process)
    if status != 0:
        raise UserError(f"{command[0]} ended with status {status}: {_last_words(log_path)}")


@contextmanager
def termination_raises() -> Iterator[None]:
    """Let a request to terminate unwind the stack, which ends what was started, as Ctrl-C does.

    Further requests are ignored then: they must not cut short the clean-up that the first one set
    off. Signals that are ignored to begin with stay so (nohup).
    """
    if threading.current_thread() is not threading.main_thread():  # signals are not delivered there
        yield
        return
    handlers = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    before = {number: each for number, each in handlers.items() if each is not signal.SIG_IGN}

    def unwind(number: int, frame: FrameType | None) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in before:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process, politely first so that mpirun can end its ranks, and its whole session."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for left_over in _members_of_session(process.pid):
        try:
            os.kill(left_over, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _members_of_session(session: int) -> list[int]:
    """Process ids whose session is `session`; mpirun gives its ranks their own groups."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            try:
                if os.getsid(pid) == session:
                    members.append(pid)
            except (ProcessLookupError, PermissionError):
                continue
    return members


def _last_words(log_path: Path) -> str:
    """The first error that a log tells of, or else its last line."""
    text = log_path.read_text(errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error: *\S", line, re.IGNORECASE)]
    return f"{([*errors[:1], *lines[-1:], 'it printed nothing'])[0]} (see {log_path})"
