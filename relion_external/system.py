"""What this machine offers: cores, memory, RELION; and how to ask a program within a time limit.

Limits that a batch system sets are respected: CPU affinity, and the cgroup (version 2) that this
process is in.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Answer:
    """What a program printed before it ended.

    Attributes
    ----------
    status : int or None
        Exit status, negative if a signal ended it; None if it was ended for running too long.
    stdout, stderr : str
        What it printed; empty if it ran too long.
    """

    status: int | None
    stdout: str = ""
    stderr: str = ""


def ask(
    command: str | Sequence[str], limit_s: float, environment: dict[str, str] | None = None
) -> Answer:
    """Run a command that should answer quickly, without input, and end it if it does not.

    Parameters
    ----------
    command : str or sequence of str
        A string goes to ``/bin/sh -c``, as RELION does with its hook; a sequence is run directly.
    limit_s : float
        Seconds after which the program and all it has started are killed.
    environment : dict, optional
        Environment of the program; this process's own if not given.

    Raises
    ------
    OSError
        If a program given as a sequence cannot be started.
    """
    process = subprocess.Popen(
        command,
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,  # a process group of its own, so that its children can be ended too
    )
    with process:
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Answer(None)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Answer(process.returncode, stdout, stderr)


def usable_cores() -> int:
    """Number of CPU cores that this process may keep busy, by affinity and cgroup quota."""
    cores = len(os.sched_getaffinity(0))
    for folder in _cgroup_folders():
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit():
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores


def available_memory() -> int:
    """Bytes of host memory that this process can still take, by the kernel and by its cgroup."""
    kilobytes = re.search(r"^MemAvailable:\s+(\d+) kB", _read(_PROC / "meminfo"), re.MULTILINE)
    if kilobytes is None:
        raise OSError(f"{_PROC / 'meminfo'} has no MemAvailable line")
    available = 1024 * int(kilobytes[1])
    for folder in _cgroup_folders():
        limit, used = _read(folder / "memory.max"), _read(folder / "memory.current")
        if limit.isdigit() and used.isdigit():
            # Cached file contents count as used, but the kernel gives them up when asked.
            cached = re.search(r"^inactive_file (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
            available = min(available, int(limit) - int(used) + (int(cached[1]) if cached else 0))
    return max(available, 0)


def missing_programs(*names: str) -> list[str]:
    """Return those of the programs that are not on the PATH."""
    return [name for name in names if shutil.which(name) is None]


def relion_version(limit_s: float = 20) -> str | None:
    """Version that ``relion_refine`` reports; None if it is not on the PATH or does not say."""
    if shutil.which("relion_refine") is None:
        return None
    found = re.search(
        r"RELION version:\s*(\S+)", ask(["relion_refine", "--version"], limit_s).stdout
    )
    return found[1] if found else None


def _cgroup_folders() -> Iterator[Path]:
    """Folder of this process's cgroup and its parents: each may set a limit."""
    group = re.search(r"^0::/(.*)$", _read(_PROC / "self" / "cgroup"), re.MULTILINE)
    if group is None:
        return
    folder = _CGROUP_ROOT / group[1]
    while folder.is_relative_to(_CGROUP_ROOT):
        yield folder
        folder = folder.parent


def _read(path: Path) -> str:
    """Text of a file of the kernel's; empty where this kernel or container does not show it."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
