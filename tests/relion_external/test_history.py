"""The history of a run: read, and shortened where a run goes on from an earlier iteration."""

from __future__ import annotations

import json
from pathlib import Path

from relion_external.history import forget_calls_after, read_history


def write(path: Path, *calls: tuple[int, int]) -> None:
    lines = [json.dumps({"iteration": iteration, "half": half}) for iteration, half in calls]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_calls_that_will_be_made_again_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "run_external.jsonl"
    write(path, (1, 1), (1, 2), (2, 2), (2, 1), (3, 1))
    forget_calls_after(path, 2)
    calls = [(entry["iteration"], entry["half"]) for entry in read_history(path)]
    assert calls == [(1, 1), (1, 2), (2, 2), (2, 1)]
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_history_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_calls_after(tmp_path / "run_external.jsonl", 2)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "run_external.jsonl"
    write(path, (1, 1), (1, 2))
    path.write_text(path.read_text() + '{"iterat')
    forget_calls_after(path, 5)
    assert [entry["half"] for entry in read_history(path)] == [1, 2]
