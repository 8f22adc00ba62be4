"""The environment variable by which RELION finds its hook, and whether this program answers there.

RELION runs ``<value> <STAR file>`` in ``/bin/sh``; without the variable it runs its own
``relion_external_reconstruct`` and says nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relion_external import __version__
from relion_external.errors import UserError
from relion_external.options import refuse_options_of_other_methods
from relion_external.system import ask

NAME = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"
RELIONS_OWN = "relion_external_reconstruct"

_REJECTED = re.compile(
    r"^relion-external(?: reconstruct)?: error: (.*?)(?:; see relion-external.* --help)?$",
    re.MULTILINE,
)
"""What this program prints about a command line that cannot be parsed, without the hint."""


@dataclass(frozen=True)
class HookState:
    """Result of trying the hook: a phrase on what answers, or the reason why it will not work.

    Exactly one of the two is given.
    """

    answer: str | None = None
    problem: str | None = None


def suggestion() -> str:
    """Shell command that sets the variable to the program of this very installation."""
    script = Path(sys.executable).with_name("relion-external")
    program = (
        shlex.quote(str(script))
        if script.exists()
        else f"{shlex.quote(sys.executable)} -m relion_external"
    )
    return f'export {NAME}="{program} reconstruct"'


def command(options: Sequence[str]) -> str:
    """Value of the variable that runs the hook of this very installation with these options."""
    return shlex.join([sys.executable, "-m", "relion_external", "reconstruct", *options])


def environment(value: str | None) -> dict[str, str]:
    """Environment in which RELION finds the hook, and the hook finds this very package.

    With None, RELION finds no hook.
    """
    found = {key: each for key, each in os.environ.items() if key != NAME}
    if value is None:
        return found
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, found.get("PYTHONPATH")]))
    return found | {NAME: value, "PYTHONPATH": path}


def examine(value: str | None, limit_s: float = 20) -> HookState:
    """Try the command in `value` as RELION would, with ``--version`` in place of the STAR file.

    Parameters
    ----------
    value : str or None
        The variable's value; None if it is not set.
    limit_s : float
        Seconds that the command may take to answer.
    """
    if value is None or not value.strip():
        return HookState(
            problem=f"{NAME} is {'not set' if value is None else 'empty'}, "
            "so RELION would not run this program"
        )
    try:
        program, arguments = _split(value)
    except ValueError as error:
        return HookState(problem=f"{NAME} is not a shell command ({error}): {value}")
    if Path(program).name == RELIONS_OWN:
        return HookState(problem=f"{NAME} names RELION's own {RELIONS_OWN}, not this program")
    if shutil.which(program) is None:
        return HookState(problem=f"{NAME} starts with {program}, which is not an executable file")
    answer = ask(f"{value} --version", limit_s)
    if answer.status is None:
        return HookState(
            problem=f"{NAME} gave no answer to --version within {limit_s:g} s: {value}"
        )
    version = re.search(r"^relion-external reconstruct (\S+)$", answer.stdout, re.MULTILINE)
    if answer.status != 0 or version is None:
        return HookState(problem=_wrong_answer(value, answer.status, answer.stdout, answer.stderr))
    if version[1] != __version__:
        return HookState(f"relion-external {version[1]}, another installation than this one")
    if "reconstruct" in arguments:
        complaint = _option_error(arguments[arguments.index("reconstruct") + 1 :])
        if complaint:
            return HookState(problem=f"{NAME} has a wrong option: {complaint}")
    return HookState(f"relion-external {version[1]}")


def _split(value: str) -> tuple[str, list[str]]:
    """Program and arguments of a shell command, without assignments before it."""
    words = shlex.split(value)
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words.pop(0)
    if not words:
        raise ValueError("no program named")
    return words[0], words[1:]


def _wrong_answer(value: str, status: int, stdout: str, stderr: str) -> str:
    if re.search(r"^relion-external \d", stdout, re.MULTILINE):
        return f"{NAME} lacks the subcommand: put the word reconstruct after {value}"
    rejected = _REJECTED.search(stderr)
    if rejected:
        return f"{NAME} has a wrong option: {rejected[1]}"
    printed = (stdout.strip() or stderr.strip() or "nothing").splitlines()[0]
    return f"{NAME} is another program: {value} --version exited with {status}, printing {printed}"


def hook_options(value: str | None) -> argparse.Namespace | None:
    """Options that the variable gives to ``reconstruct``; None where it is not this program's."""
    try:
        _, arguments = _split(value or "")
    except ValueError:
        return None
    if "reconstruct" not in arguments:
        return None
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return _parsed(arguments[arguments.index("reconstruct") + 1 :])
    return None


def _option_error(options: list[str]) -> str | None:
    """What is wrong with options of ``reconstruct``, by its own parser; None if nothing."""
    from relion_external.commands.reconstruct import add_arguments

    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            refuse_options_of_other_methods(_parsed(options), add_arguments)
        except SystemExit:
            rejected = _REJECTED.search(stderr.getvalue())
            return rejected[1] if rejected else "it cannot be parsed"
        except UserError as error:
            return str(error)
    return None


def _parsed(options: list[str]) -> argparse.Namespace:
    from relion_external.cli import command_parser

    return command_parser("reconstruct").parse_args(
        [*options, "run_it001_external_reconstruct.star"]
    )
