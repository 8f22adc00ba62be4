"""The log of a call, the history of a run, and the clock of both."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from relion_external.call_log import Stopwatch, append_history, call_log, peak_memory_bytes
from relion_external.errors import LoggedError, UserError

log = logging.getLogger("relion_external.some_module")


def test_the_file_gets_everything_and_stderr_the_warnings(tmp_path, capsys):
    path = tmp_path / "call.log"
    with call_log(path):
        log.info("an %s", "information")
        log.warning("a warning")
    log.info("after the call")
    lines = path.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO an information",
        "WARNING a warning",
    ]
    assert capsys.readouterr().err == "relion-external: warning: a warning\n"


def fail():
    raise UserError("a.mrc is wrong")


def fail_because_of_another_error():
    try:
        {}["x"]
    except KeyError as error:
        raise UserError("a.mrc is wrong") from error


def test_what_the_user_can_put_right_is_one_line_of_the_log(tmp_path, capsys):
    path = tmp_path / "call.log"
    with pytest.raises(UserError), call_log(path):
        fail()
    assert path.read_text().split(" ", 2)[2] == "ERROR a.mrc is wrong\n"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("failure", "raised", "logged"),
    [
        (fail_because_of_another_error, UserError, "ERROR a.mrc is wrong\nTraceback (most"),
        (lambda: {}["x"], LoggedError, "ERROR unexpected error: 'x'\nTraceback (most"),
    ],
)
def test_another_error_gets_its_traceback_into_the_log_only(
    tmp_path, capsys, failure, raised, logged
):
    path = tmp_path / "call.log"
    with pytest.raises(raised), call_log(path):
        failure()
    text = path.read_text()
    assert logged in text
    assert "KeyError: 'x'" in text
    assert capsys.readouterr().err == ""


def test_an_interruption_is_not_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), call_log(tmp_path / "call.log"):
        raise KeyboardInterrupt
    assert (tmp_path / "call.log").read_text() == ""


def test_a_log_in_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match=r"the log .* cannot be written: No such file"):
        with call_log(tmp_path / "missing" / "call.log"):
            pass


def append_many(path, writer):
    for number in range(50):
        append_history(path, {"writer": writer, "number": number, "filling": "x" * 2000})


def test_lines_of_two_hooks_at_once_stay_whole(tmp_path):
    path = tmp_path / "history.jsonl"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append_many, [path, path], [0, 1]))
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for writer in range(2):
        numbers = [entry["number"] for entry in entries if entry["writer"] == writer]
        assert numbers == list(range(50))


def test_a_history_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UserError, match=r"the history .* cannot be written: Is a directory"):
        append_history(tmp_path, {})


def test_stages_add_up_and_the_total_is_no_less():
    watch = Stopwatch()
    for stage in ("one", "two", "one"):
        with watch.stage(stage):
            sum(range(1000))
    assert list(watch.seconds) == ["one", "two"]
    assert 0 < sum(watch.seconds.values()) <= watch.total()


def test_peak_memory_is_in_bytes():
    assert 10e6 < peak_memory_bytes() < 1e12
