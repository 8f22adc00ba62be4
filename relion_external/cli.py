"""The command ``relion-external`` and its subcommands.

The hook runs once per half-map and iteration and ``--help`` has to answer at once, so nothing heavy
is imported here, nor at the top of a module in ``relion_external.commands``: such a module imports
the standard library only, and NumPy, SciPy, starfile and the rest of this project's packages inside
``run``. Of the command modules only the chosen one is imported.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from relion_external import __version__, commands
from relion_external.errors import LoggedError, UserError

PROGRAM = "relion-external"


class Command(Protocol):
    """What a module in ``relion_external.commands`` offers."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def command_names() -> list[str]:
    """Names of the subcommands: the modules in ``relion_external.commands``."""
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def build_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Parser that knows the subcommands in `names`; imports their modules and no others."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="An open regulariser for RELION's external reconstruction hook.",
    )
    _add_version(parser)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        command = cast(Command, importlib.import_module(f"{commands.__name__}.{name}"))
        subparser = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
        subparser.add_argument(
            "--debug", action="store_true", help="print the traceback of an unexpected error"
        )
        _add_version(subparser)
        subparser.set_defaults(run=command.run)
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
    names = command_names()
    parser = build_parser(argv[:1] if argv and argv[0] in names else names)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        return _fail("interrupted", status=130)
    except UserError as error:
        return _fail(f"error: {error}", debug=args.debug)
    except LoggedError as error:
        cause = error.__cause__ or error
        return _fail(f"{_describe(cause)}; the traceback is in {error.log_path}", debug=args.debug)
    except Exception as error:
        return _fail(f"{_describe(error)}; --debug prints the traceback", debug=args.debug)


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
