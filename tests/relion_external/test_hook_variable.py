"""The hook's environment variable is tried as RELION would use it."""

from __future__ import annotations

import shlex
import sys

import pytest

from relion_external import __version__, hook_variable
from relion_external.hook_variable import HookState, examine
from relion_external.system import ask

HOOK = f"{shlex.quote(sys.executable)} -m relion_external"


@pytest.fixture
def script(tmp_path):
    """Return a function that makes an executable shell script and returns its path."""

    def make(body: str, name: str = "hook.sh") -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize("prefix", ["", "OMP_NUM_THREADS=2 "])
def test_this_program_answers(prefix):
    assert examine(f"{prefix}{HOOK} reconstruct") == HookState(f"relion-external {__version__}")


def test_a_wrapper_around_this_program_answers(script):
    state = examine(script(f'exec {HOOK} reconstruct "$@"'))
    assert state == HookState(f"relion-external {__version__}")


def test_another_version_is_told(script):
    state = examine(script("echo relion-external reconstruct 99.1"))
    assert state == HookState("relion-external 99.1, another installation than this one")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is not set"),
        (" ", "is empty"),
        ("hook 'reconstruct", "is not a shell command (No closing quotation)"),
        ("A=1", "is not a shell command (no program named)"),
        ("/usr/bin/relion_external_reconstruct", "names RELION's own relion_external_reconstruct"),
        ("/no/such/program x", "/no/such/program, which is not an executable file"),
        ("echo hello", "is another program: echo hello --version exited with 0, printing hello"),
        (HOOK, "lacks the subcommand: put the word reconstruct after"),
        (f"{HOOK} reconstrut", "has a wrong option: argument COMMAND: invalid choice"),
        (f"{HOOK} reconstruct --no_such_option", "unrecognized arguments: --no_such_option"),
        (f"{HOOK} reconstruct --awf 0", "argument --awf: expected a number above 0, not '0'"),
    ],
)
def test_what_will_not_work_is_named(value, problem):
    state = examine(value)
    assert state.answer is None
    assert problem in state.problem
    assert "--help" not in state.problem  # which would be a hint of another command line
    assert hook_variable.NAME in state.problem


def test_a_program_that_fails_is_told_with_its_message(script):
    state = examine(script("echo cannot open display >&2; exit 4"))
    assert state.problem.endswith("exited with 4, printing cannot open display")


def test_a_program_that_does_not_answer_is_given_up(script):
    assert "no answer to --version within 0.5 s" in examine(script("sleep 60"), 0.5).problem


def test_the_suggestion_sets_a_hook_that_answers():
    shown = ask(f'{hook_variable.suggestion()}; printf %s "${hook_variable.NAME}"', 20)
    assert examine(shown.stdout) == HookState(f"relion-external {__version__}")
