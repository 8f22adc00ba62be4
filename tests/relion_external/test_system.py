"""Limits of the machine, from stand-ins for the kernel's files; programs asked in limited time."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_external import system

MEMINFO = "MemTotal:       32000000 kB\nMemFree:         1000000 kB\nMemAvailable:    2000000 kB\n"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Stand-ins for /proc and the cgroup file system: in group /batch/job of a cgroup v2 tree."""
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "self" / "cgroup").write_text("0::/batch/job\n")
    (cgroup / "batch" / "job").mkdir(parents=True)
    monkeypatch.setattr(system, "_PROC", proc)
    monkeypatch.setattr(system, "_CGROUP_ROOT", cgroup)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return cgroup / "batch"


def test_without_limits_affinity_and_the_kernel_decide(kernel):
    assert system.usable_cores() == 8
    assert system.available_memory() == 2000000 * 1024


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", 8), ("250000 100000", 3), ("9900000 100000", 8)]
)
def test_cores_by_the_quota_of_a_parent_cgroup(kernel, limit, cores):
    (kernel / "cpu.max").write_text(limit + "\n")
    (kernel / "job" / "cpu.max").write_text("max 100000\n")
    assert system.usable_cores() == cores


def test_memory_by_the_cgroup_counts_caches_as_available(kernel):
    (kernel / "job" / "memory.max").write_text("1000000000\n")
    (kernel / "job" / "memory.current").write_text("700000000\n")
    (kernel / "job" / "memory.stat").write_text("active_file 5\ninactive_file 200000000\n")
    assert system.available_memory() == 500000000


def test_this_machine():
    assert 1 <= system.usable_cores() <= os.cpu_count()
    assert system.available_memory() > 0


def test_ask_returns_what_was_printed_and_the_status():
    assert system.ask("echo out; echo err >&2; exit 3", 20) == system.Answer(3, "out\n", "err\n")


def test_a_program_that_reads_finds_no_input():
    code = "from relion_external.system import ask; print(ask('cat', 20))"
    done = subprocess.run([sys.executable, "-c", code], input="x", capture_output=True, text=True)
    assert done.stdout == f"{system.Answer(0)}\n"


def wait_for_end(pid: int) -> None:
    """Return once the process is gone or a zombie; the test's time limit ends a wait in vain."""
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


@pytest.mark.timeout(60)
def test_ask_ends_a_program_and_its_children_after_the_limit(tmp_path):
    # The child keeps the output open: who only ended the shell would wait for it.
    pid_file = tmp_path / "pid"
    assert system.ask(f"sleep 500 & echo $! > {pid_file}; wait", 0.5) == system.Answer(None)
    wait_for_end(int(pid_file.read_text()))


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("RELION version: 3.1.3 \nPrecision: BASE=double\n", "3.1.3"),
        ("RELION version: 5.0.1-commit-73f0a3 \nPrecision: BASE=double\n", "5.0.1-commit-73f0a3"),
        ("something else", None),
    ],
)
def test_relion_version(tmp_path, monkeypatch, printed, version):
    program = tmp_path / "relion_refine"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert system.relion_version() == version


def test_relion_version_without_relion(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system.relion_version() is None


@pytest.mark.relion
def test_the_installed_relion_tells_its_version():
    assert re.fullmatch(r"[3-9]\.\d.*", system.relion_version())
