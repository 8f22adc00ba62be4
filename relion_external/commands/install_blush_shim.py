"""An executable ``relion_python_blush``, by which RELION 5's --blush runs this program."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from relion_external.errors import UserError

HELP = "let RELION 5's --blush (a tick in its GUI) run this program, until told otherwise"

NAME = "relion_python_blush"
MARK = "# Made by relion-external install-blush-shim"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help=f"where to put {NAME}, made if need be; this folder has to come before RELION's own "
        "on the PATH",
    )
    parser.add_argument("--remove", action="store_true", help="take it away again")


def run(args: argparse.Namespace) -> int:
    """Write or remove the executable in `args.folder`."""
    from relion_external.volumes import make_folder

    path = args.folder / NAME
    if path.exists() and MARK not in path.read_text(errors="replace"):
        raise UserError(f"{path} is not this program's (it may be RELION's own): left as it is")
    if args.remove:
        return _remove(path)
    make_folder(args.folder)
    try:
        _write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    print(f"{path} written. RELION 5 runs it for --blush if it is found first:\n")
    print(f'  export PATH={shlex.quote(str(args.folder.resolve()))}:"$PATH"\n')
    found = shutil.which(NAME)
    if found and Path(found).resolve() != path.resolve():
        print(f"In this shell, {found} is found first.")
    return 0


def script() -> str:
    """Text of the executable: it runs this very installation, whatever is active or set."""
    package = str(Path(__file__).parents[2])
    code = (
        f"import sys; del sys.path[0]; sys.path.append({package!r}); "
        "from relion_external.blush import main; sys.exit(main())"
    )
    return (
        "#!/bin/sh\n"
        f"{MARK}\n"
        "# It answers RELION 5's --blush; RELION_EXTERNAL_BLUSH_ARGS may hold options.\n"
        "# To remove it, delete this file, or run the same command with --remove.\n"
        f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n'
    )


def _write(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(script())
    temporary.chmod(0o755)
    os.replace(temporary, path)


def _remove(path: Path) -> int:
    if not path.exists():
        raise UserError(f"{path} does not exist: nothing to remove")
    path.unlink()
    print(f"{path} removed.")
    return 0
