"""RELION 5's --blush, answered by this program.

RELION runs ``relion_python_blush <STAR> $RELION_BLUSH_ARGS [--skip-spectral-trailing] --gpu <ids>``
from the PATH, takes the word ``success`` alone on stdout for success, and does not look at the exit
status. The STAR file and the files it names are those of the external reconstruction.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relion_external import cli
from relion_external.errors import UserError

OWN_OPTIONS = "RELION_EXTERNAL_BLUSH_ARGS"
"""Environment variable with options of ``relion-external reconstruct``; they have the last word."""

_WITH_VALUE = {
    **dict.fromkeys(("-m", "--model_name", "-b", "--batch_size"), ""),
    "--device_timeout": "",
    **dict.fromkeys(("-s", "--strides"), "--stride"),
    **dict.fromkeys(("-g", "--gpu"), "--gpu"),
    **{name: name for name in ("--method", "--weights", "--stride", "--precision")},
}
"""Options that take a value, Blush's and this program's, and what they are called here; empty for
what has no counterpart: the name of Blush's model (--weights has a file), and how it shares a GPU.
"""

_FLAGS = {
    "--skip-spectral-trailing": "--skip_spectral_trailing",
    "--blush_compatible": "--blush_compatible",
    "--debug": "--debug",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call of RELION and return the exit status.

    Without arguments, as RELION's installation calls Blush, nothing is done.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words:
        return 0
    with _stdout_on_stderr():
        try:
            options = reconstruct_words(words, os.environ.get(OWN_OPTIONS, ""))
        except UserError as error:
            print(f"{cli.PROGRAM}: error: {error}", file=sys.stderr)
            return 1
        status = cli.main(["reconstruct", *options])
    if status == 0:
        print("success", flush=True)
    return status


def reconstruct_words(words: Sequence[str], own: str) -> list[str]:
    """Turn Blush's command line into one of ``relion-external reconstruct``.

    Parameters
    ----------
    words : sequence of str
        Arguments that RELION gave.
    own : str
        Options of this program, as in a shell.

    Raises
    ------
    UserError
        If there is no STAR file among them, or `own` cannot be split into words.
    """
    options: list[str] = []
    given: dict[str, str] = {}
    star = None
    unknown = []
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if name in _WITH_VALUE:
            given[_WITH_VALUE[name]] = value or next(rest, "")
        elif word in _FLAGS:
            options.append(_FLAGS[word])
        elif star is None and word.endswith(".star"):
            star = word
        else:
            unknown.append(word)
    if unknown:
        text = " ".join(unknown)
        print(f"{cli.PROGRAM}: warning: not an option of Blush, ignored: {text}", file=sys.stderr)
    if star is None:
        raise UserError(f"no STAR file was given to the Blush shim, but: {' '.join(words)}")
    try:
        own_words = shlex.split(own)
    except ValueError as error:
        raise UserError(f"{OWN_OPTIONS} is not a list of options ({error}): {own}") from error
    given.pop("", None)
    if "--gpu" in given:
        given["--gpu"] = gpu_request(given["--gpu"])
    if "denoiser" not in (given.get("--method"), *own_words, *_values(own_words)):
        given.pop("--stride", None)  # of Blush's network, which is not asked for
    options += [word for pair in given.items() for word in pair]
    return [*options, *own_words, star]


def _values(words: Sequence[str]) -> list[str]:
    """What stands behind the equals signs of options."""
    return [word.partition("=")[2] for word in words]


def gpu_request(text: str) -> str:
    """Device that RELION asks for, as ``relion-external`` says it: ``cpu``, ``auto``, ``0,1``.

    RELION 5 writes ``-1`` for none, ``0,1,`` for its GPUs; some versions repeated the user's own
    words (``0:1,0:1,``, ``default,``) or wrote bytes that mean nothing.
    """
    numbers = [int(number) for number in re.findall(r"-?\d+", text)]
    gpus = dict.fromkeys(number for number in numbers if number >= 0)
    if gpus:
        return ",".join(map(str, gpus))
    return "cpu" if numbers else "auto"


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Send to stderr what any code or library, of C as well, prints to stdout."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
