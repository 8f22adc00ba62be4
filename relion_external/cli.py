"""The command ``relion-external`` and its subcommands.

The hook runs once per half-map and iteration and ``--help`` has to answer at once, so nothing heavy
is imported here, nor at the top of a module in ``relion_external.commands``: such a module imports
the standard library only, and NumPy, SciPy, starfile and the rest of this project's packages inside
``run``. Of the command modules only the chosen one is imported.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NoReturn, Protocol, cast

from relion_external import __version__, commands
from relion_external.errors import LoggedError, UserError

PROGRAM = "relion-external"


class Command(Protocol):
    """What a module in ``relion_external.commands`` offers.

    It may also offer ``surroundings(argv)``, a context manager in which the options are parsed and
    the command runs.
    """

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong with a command line in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def command_names() -> list[str]:
    """Names of the subcommands: of the modules in ``relion_external.commands``, with dashes."""
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__)
    )


def command_parser(name: str) -> Parser:
    """Parser of one subcommand; imports its module and no other."""
    command = _command(name)
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=command.HELP,
        allow_abbrev=False,  # what is unique today may not be tomorrow
    )
    command.add_arguments(parser)
    parser.add_argument(
        "--debug", action="store_true", help="print the traceback of an unexpected error"
    )
    _add_version(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``relion-external`` and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process if not given.

    Returns
    -------
    int
        0 success, 1 error, 130 interrupted from the keyboard. A command line that cannot be
        parsed ends in argparse's ``SystemExit(2)``.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] not in command_names():
        _overview().parse_args(argv)  # prints help, the version or what is wrong, and exits
    name, *words = argv
    command = _command(name)
    surroundings = getattr(command, "surroundings", nullcontext)
    debug = "--debug" in words
    try:
        with surroundings(words):
            return command.run(_parse(command_parser(name), words))
    except KeyboardInterrupt:
        return _fail("interrupted", status=130)
    except UserError as error:
        return _fail(f"error: {error}", debug=debug)
    except LoggedError as error:
        cause = error.__cause__ or error
        return _fail(f"{_describe(cause)}; the traceback is in {error.log_path}", debug=debug)
    except Exception as error:
        return _fail(f"{_describe(error)}; --debug prints the traceback", debug=debug)


def _command(name: str) -> Command:
    module = f"{commands.__name__}.{name.replace('-', '_')}"
    return cast(Command, importlib.import_module(module))


def _overview() -> Parser:
    """Parser that lists the subcommands, for a command line that names none of them."""
    parser = Parser(
        prog=PROGRAM,
        description="An open regulariser for RELION's external reconstruction hook.",
    )
    _add_version(parser)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in command_names():
        subparsers.add_parser(name, help=_command(name).HELP)
    return parser


def _parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse `words`; an unknown option ends the program, and one much like it is named."""
    args, unknown = parser.parse_known_args(words)
    if unknown:
        word = unknown[0].partition("=")[0]
        if not word.startswith("-"):
            parser.error(f"{word!r} was not expected (a flag takes no value)")
        options = list(parser._option_string_actions)
        close = difflib.get_close_matches(word, options, n=1)
        hint = f"; the closest is {close[0]}" if close else ""
        parser.error(f"{word} is not an option{hint}")
    return args


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def _describe(error: BaseException) -> str:
    return f"unexpected error: {type(error).__name__}: {error}"


def _fail(message: str, *, status: int = 1, debug: bool = False) -> int:
    """Print `message` as one line on stderr, after the traceback if `debug`; return `status`."""
    if debug:
        traceback.print_exc()
    print(f"{PROGRAM}: {' '.join(message.splitlines())}", file=sys.stderr)
    return status
