"""The command line: subcommands are found, errors become one line, statuses are kept."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from relion_external import __version__, cli, commands

COMMAND = '''
"""A command for tests."""
import pathlib
from relion_external.errors import LoggedError, UserError

HELP = "{name} in one line"

def add_arguments(parser):
    parser.add_argument("--number", type=int, default=0)

def run(args):
    {body}
'''


@pytest.fixture
def add_command(tmp_path, monkeypatch):
    """Return a function that makes a subcommand; no others exist meanwhile."""
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])
    made = []

    def add(name: str, body: str) -> None:
        (tmp_path / f"{name}.py").write_text(COMMAND.format(name=name, body=body))
        made.append(name)

    yield add
    for name in made:
        sys.modules.pop(f"{commands.__name__}.{name}", None)


def test_every_module_in_commands_is_a_subcommand(capsys):
    files = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert files
    names = {name.replace("_", "-") for name in files}
    assert set(cli.command_names()) == names
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    for name in names:
        assert re.search(rf"^    {name}\s", printed, re.MULTILINE)


def test_exit_status_and_options_of_the_command_are_passed_on(add_command):
    add_command("status", "return args.number")
    assert cli.main(["status"]) == 0
    assert cli.main(["status", "--number", "7"]) == 7


def test_arguments_of_the_process_are_the_default(add_command, monkeypatch):
    add_command("status", "return args.number")
    monkeypatch.setattr(sys, "argv", ["relion-external", "status", "--number", "3"])
    assert cli.main() == 3


def test_only_the_chosen_command_is_imported(add_command):
    add_command("good", "return 0")
    add_command("other", "return 0")
    assert cli.main(["good"]) == 0
    assert f"{commands.__name__}.good" in sys.modules
    assert f"{commands.__name__}.other" not in sys.modules


@pytest.mark.parametrize(
    ("argv", "name"),
    [(["--version"], "relion-external"), (["good", "--version"], "relion-external good")],
)
def test_version(add_command, capsys, argv, name):
    add_command("good", "return 0")
    with pytest.raises(SystemExit, match="0"):
        cli.main(argv)
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "relion-external: error: the following arguments are required: COMMAND"),
        (["goood"], r"relion-external: error: argument COMMAND: invalid choice: 'goood' \(.*\)"),
        (["good", "--foo"], "relion-external good: error: --foo is not an option"),
        (
            ["good", "--numer=1"],
            "relion-external good: error: --numer is not an option; the closest is --number",
        ),
        (
            ["good", "--number=x"],
            "relion-external good: error: argument --number: invalid int value: 'x'",
        ),
        (
            ["good", "--debug", "Yes"],
            r"relion-external good: error: 'Yes' was not expected \(a flag takes no value\)",
        ),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_one_line(add_command, capsys, argv, line):
    add_command("good", "return 0")
    with pytest.raises(SystemExit, match="2"):
        cli.main(argv)
    program = line.partition(":")[0]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"{line}; see {program} --help\n", captured.err)


def test_underscores_in_the_name_of_a_module_are_dashes(add_command):
    add_command("two_words", "return args.number")
    assert cli.main(["two-words", "--number", "5"]) == 5


def test_options_are_parsed_within_the_surroundings_of_a_command(add_command, capsys):
    surroundings = """return 0

import contextlib

@contextlib.contextmanager
def surroundings(argv):
    print("before", argv)
    try:
        yield
    except SystemExit as end:
        print("after", end.code)
        raise
"""
    add_command("guarded", surroundings)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["guarded", "--number", "x"])
    assert capsys.readouterr().out == "before ['--number', 'x']\nafter 2\n"


def test_a_user_error_is_one_line(add_command, capsys):
    add_command("bad", r'raise UserError("a.mrc holds 2 maps,\nexpected 1")')
    assert cli.main(["bad"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "relion-external: error: a.mrc holds 2 maps, expected 1\n"


def test_an_unexpected_error_is_one_line_that_names_it(add_command, capsys):
    add_command("bad", "return 1 // 0")
    assert cli.main(["bad"]) == 1
    assert capsys.readouterr().err == (
        "relion-external: unexpected error: ZeroDivisionError: integer division or modulo by zero; "
        "--debug prints the traceback\n"
    )


def test_a_logged_error_names_its_cause_and_the_log(add_command, capsys):
    add_command("bad", 'raise LoggedError(pathlib.Path("a.log")) from KeyError("x")')
    assert cli.main(["bad"]) == 1
    assert capsys.readouterr().err == (
        "relion-external: unexpected error: KeyError: 'x'; the traceback is in a.log\n"
    )


@pytest.mark.parametrize("error", ["ValueError('x')", "UserError('x')"])
def test_debug_prints_the_traceback(add_command, capsys, error):
    add_command("bad", f"raise {error}")
    assert cli.main(["bad", "--debug"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):")
    assert "bad.py" in printed
    assert printed.splitlines()[-1].startswith("relion-external: ")


def test_interruption_from_the_keyboard(add_command, capsys):
    add_command("slow", "raise KeyboardInterrupt")
    assert cli.main(["slow"]) == 130
    assert capsys.readouterr().err == "relion-external: interrupted\n"
