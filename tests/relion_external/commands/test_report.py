"""``relion-external report``: a run and its continuations, by root or by folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from relion_external import history
from relion_external.cli import main
from relion_external.run_history import read_run

FOLDER = Path("Refine3D/job012")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty job folder, relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    return FOLDER


def write(name: str, iterations: range, hour: int, **figures: Any) -> None:
    """Write a history of two calls an iteration, made at an hour of the day."""
    entries = [
        {
            "time": f"2026-01-01T{hour:02}:{iteration:02}:00+01:00",
            "iteration": iteration,
            "half": half,
            "map": "half",
            "device": "CPU",
            "seconds": float(hour),
            **figures,
        }
        for iteration in iterations
        for half in (1, 2)
    ]
    lines = [json.dumps(entry) for entry in entries]
    (FOLDER / f"{name}_external.jsonl").write_text("".join(f"{line}\n" for line in lines))


def told(root: Path) -> dict[int, float]:
    """Of each iteration the seconds of its first call, which tell the file."""
    entries = read_run(root)
    assert len({(entry["iteration"], entry["half"]) for entry in entries}) == len(entries)
    return {entry["iteration"]: entry["seconds"] for entry in reversed(entries)}


@pytest.mark.parametrize("root", [f"{FOLDER}/", f"{FOLDER}/run"])
def test_a_folder_does_as_well_as_a_root(folder: Path, capsys: Any, root: str) -> None:
    write("run", range(1, 4), hour=8, cutoff_median_angstrom=8.0)
    assert main(["report", root]) == 0
    png, pdf = capsys.readouterr().out.splitlines()
    assert (png, pdf) == (f"{folder}/run_external.png", f"{folder}/run_external.pdf")
    assert Path(png).read_bytes().startswith(b"\x89PNG")
    assert Path(pdf).read_bytes().startswith(b"%PDF")


def test_continuations_are_joined_to_the_run(folder: Path) -> None:
    write("run", range(1, 9), hour=8)
    write("run_ct5", range(6, 12), hour=9)
    write("run_ct10", range(11, 13), hour=10)
    expected = dict.fromkeys(range(1, 6), 8) | dict.fromkeys(range(6, 11), 9) | {11: 10, 12: 10}
    assert told(folder / "run") == expected
    assert told(folder / "run_ct5") == dict.fromkeys(range(6, 12), 9)


def test_what_was_continued_from_earlier_on_goes_on_alone(folder: Path) -> None:
    write("run", range(1, 9), hour=8)
    write("run_ct8", range(9, 12), hour=9)
    write("run_ct2", range(3, 5), hour=10)
    assert told(folder / "run") == {1: 8, 2: 8, 3: 10, 4: 10}


def test_a_continuation_may_be_all_there_is(folder: Path) -> None:
    write("run_ct5", range(6, 8), hour=9)
    assert main(["report", str(folder)]) == 0
    assert (folder / "run_external.png").exists()


def test_other_runs_are_left_alone(folder: Path, capsys: Any) -> None:
    write("run", range(1, 3), hour=8)
    write("run2", range(1, 9), hour=9)
    write("run_cto", range(1, 9), hour=9)
    assert set(told(folder / "run")) == {1, 2}
    assert main(["report", str(folder)]) == 1
    assert capsys.readouterr().err == (
        f"relion-external: error: {folder} holds histories of several runs; give one of "
        f"{folder}/run, {folder}/run2, {folder}/run_cto\n"
    )


def test_a_folder_without_a_history_is_told(folder: Path, capsys: Any) -> None:
    assert main(["report", str(folder)]) == 1
    assert "job012 holds no history of the hook (*_external.jsonl)" in capsys.readouterr().err
    assert main(["report", str(folder / "run")]) == 1
    assert "run_external.jsonl does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("iterations", [range(2, 3), range(2, 4), range(1, 30)])
def test_iterations_are_whole_numbers(folder: Path, monkeypatch: Any, iterations: range) -> None:
    write("run", iterations, hour=8, cutoff_median_angstrom=8.0)
    drawn: list[Figure] = []
    monkeypatch.setattr(history, "save", lambda figure, path, kind: drawn.append(figure))
    assert main(["report", str(folder)]) == 0
    for axis in drawn[0].axes:
        low, high = axis.get_xlim()
        shown = [tick for tick in axis.get_xticks() if low <= tick <= high]
        assert shown
        assert all(tick == round(tick) for tick in shown)
