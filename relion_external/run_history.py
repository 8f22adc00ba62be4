"""The histories of a run and of its continuations, which RELION names run_ctN, as one."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from relion_external.errors import UserError
from relion_external.history import Entry, read_history
from relion_external.outputs import HISTORY, history_path

_CONTINUATION = re.compile(r"_ct\d+$")


def find_run(folder: Path) -> Path:
    """Output root of the run in a folder.

    Raises
    ------
    UserError
        If the hook left no history there, or those of several runs.
    """
    names = {path.name.removesuffix(HISTORY) for path in folder.glob(f"*{HISTORY}")}
    runs = sorted({_CONTINUATION.sub("", name) for name in names})
    if not runs:
        raise UserError(f"{folder} holds no history of the hook (*{HISTORY}): has the hook run?")
    if len(runs) > 1:
        roots = ", ".join(str(folder / run) for run in runs)
        raise UserError(f"{folder} holds histories of several runs; give one of {roots}")
    return folder / runs[0]


def read_run(root: Path) -> list[Entry]:
    """Read the history of a run, its continuations included.

    What was written later takes the place of what came before it, from its first iteration on.

    Raises
    ------
    UserError
        If there is no history, or one cannot be read.
    """
    paths = [
        path
        for path in root.parent.glob(f"*{HISTORY}")
        if _CONTINUATION.sub("", path.name.removesuffix(HISTORY)) == root.name
    ]
    histories = [read_history(path) for path in paths or [history_path(root)]]
    joined: list[Entry] = []
    for entries in sorted(histories, key=_last_time):
        start = int(entries[0]["iteration"])
        joined = [entry for entry in joined if int(entry["iteration"]) < start] + entries
    return joined


def _last_time(entries: list[Entry]) -> float:
    return max(datetime.datetime.fromisoformat(entry["time"]).timestamp() for entry in entries)
