from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from relion_external.errors import UserError
from relion_external.processes import run_to_the_end, termination_raises

PYTHON = sys.executable
# A child in a process group of its own, as mpirun starts its ranks, that outlives its parent.
STRAY = f"""
import subprocess, sys, time
child = subprocess.Popen([{PYTHON!r}, "-c", "import time; time.sleep(300)"], process_group=0)
print(child.pid, flush=True)
time.sleep(300 if sys.argv[1] == "wait" else 0)
"""
needs_process_group = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="subprocess takes process_group from Python 3.11 on"
)


def run(tmp_path: Path, command: list[str], **options: object) -> str:
    defaults = {
        "working_folder": tmp_path,
        "log_path": tmp_path / "log",
        "time_limit_s": 60.0,
        "environment": dict(os.environ),
    }
    run_to_the_end(command, **(defaults | options))  # type: ignore[arg-type]
    return (tmp_path / "log").read_text()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pid: int) -> None:
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} was left behind")


def test_output_goes_to_the_log_and_the_environment_is_passed(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo $GREETING; echo problem >&2; pwd"]
    log = run(tmp_path, command, environment={"GREETING": "hello", "PATH": os.environ["PATH"]})
    assert log.split() == ["hello", "problem", str(tmp_path)]


def test_failure_is_told_with_the_first_error_in_the_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo fine; echo 'ERROR: no particles'; echo 'error: so what'; exit 3"]
    with pytest.raises(UserError, match=r"sh ended with status 3: ERROR: no particles \(see "):
        run(tmp_path, command)


def test_waiting_calls_back(tmp_path: Path) -> None:
    calls: list[float] = []
    run(tmp_path, ["sleep", "2.5"], on_wait=lambda: calls.append(0.0))
    assert len(calls) >= 1


@needs_process_group
def test_the_time_limit_ends_all_that_was_started(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="took longer than 2 s and was ended"):
        run(tmp_path, [PYTHON, "-c", STRAY, "wait"], time_limit_s=2.0)
    assert_gone(int((tmp_path / "log").read_text()))


@needs_process_group
def test_an_error_while_waiting_ends_all_that_was_started(tmp_path: Path) -> None:
    def interrupt() -> None:
        if (tmp_path / "log").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [PYTHON, "-c", STRAY, "wait"], on_wait=interrupt)
    assert_gone(int((tmp_path / "log").read_text()))


@needs_process_group
def test_termination_ends_all_that_was_started(tmp_path: Path) -> None:
    def terminate() -> None:
        if (tmp_path / "log").read_text():
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, [PYTHON, "-c", STRAY, "wait"], on_wait=terminate)
    assert_gone(int((tmp_path / "log").read_text()))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_request_to_terminate_does_not_cut_the_clean_up_short() -> None:
    cleaned = []

    def terminate() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            cleaned.append(True)

    with pytest.raises(SystemExit, match="143"), termination_raises():
        terminate()
    assert cleaned == [True]


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with termination_raises():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@needs_process_group
def test_nothing_outlives_a_command_that_ends_by_itself(tmp_path: Path) -> None:
    assert_gone(int(run(tmp_path, [PYTHON, "-c", STRAY, "go"])))
