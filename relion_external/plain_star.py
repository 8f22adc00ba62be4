"""STAR files as plain text, for the hook: read without pandas, whose import takes longer than that.

For tables to work with there is :func:`relion_external.star.read_blocks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from relion_external.errors import UserError

Block = dict[str, "str | list[str]"]
"""Values of a list block, or columns of a loop, by label without the leading underscore."""

_WORDS = re.compile(r"""'[^']*'(?!\S)|"[^"]*"(?!\S)|\S+""")


def read_plain(path: Path, first_only: bool = False) -> dict[str, Block]:
    """Read the blocks of a STAR file, or only the first, in order.

    Raises
    ------
    UserError
        If the file is missing, unreadable or not a STAR file.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as lines:
            blocks = _blocks(lines, first_only)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist (working directory: {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be understood as a STAR file: {error}") from error
    if not blocks:
        raise UserError(f"{path} holds no data block; expected a STAR file written by RELION")
    return blocks


def _blocks(lines: Iterable[str], first_only: bool) -> dict[str, Block]:
    blocks: dict[str, Block] = {}
    block: Block = {}
    columns: list[list[str]] | None = None  # of the loop that is being read
    for number, line in enumerate(lines, start=1):
        words = _words(line)
        if not words:
            continue
        if words[0].startswith("data_"):
            if first_only and blocks:
                break
            block = blocks[words[0].removeprefix("data_")] = {}
            columns = None
        elif not blocks:
            continue  # a heading, or no STAR file at all
        elif words[0] == "loop_":
            columns = []
        elif words[0].startswith("_") and columns is None:
            block[words[0][1:]] = words[1] if len(words) > 1 else ""
        elif words[0].startswith("_") and columns is not None and not any(columns):
            columns.append([])
            block[words[0][1:]] = columns[-1]
        elif columns is None or len(words) != len(columns):
            expected = "a label" if columns is None else f"{len(columns)}, one for each label"
            raise ValueError(f"line {number} holds {len(words)} values, expected {expected}")
        else:
            for column, word in zip(columns, words, strict=True):
                column.append(word)
    return blocks


def _words(line: str) -> list[str]:
    """Words of a line, those in quotes kept together, up to a comment."""
    words: list[str] = []
    for word in _WORDS.findall(line) if "'" in line or '"' in line else line.split():
        if word.startswith("#"):
            break
        quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
        words.append(word[1:-1] if quoted else word)
    return words
