"""What is wrong with a file that cannot be read as MRC, in words a user can act on."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import IO, cast

from relion_external.errors import UserError

HEADER_BYTES = 1024
_BYTES_OF_MODE = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2}
_GZIP = b"\x1f\x8b"


def unreadable(path: Path, error: Exception) -> UserError:
    """Say why `path`, which is there, could not be read; `error` is what the reader said."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
        with cast(IO[bytes], gzip.open(path) if packed else path.open("rb")) as file:
            header = file.read(HEADER_BYTES)
            size = file.seek(0, 2)
    except EOFError:
        return UserError(f"{path} is truncated: its gzip stream ends early")
    except OSError as cause:
        return UserError(f"{path} cannot be read: {cause.strerror or cause}")
    unpacked = " when unpacked" if packed else ""
    if size == 0:
        return UserError(f"{path} is empty{unpacked}; expected an MRC file")
    if header[208:212].rstrip(b"\0 ") != b"MAP":
        return UserError(f"{path} is not an MRC file")
    expected = _expected_bytes(header)
    if expected and size < expected:
        return UserError(
            f"{path} is truncated: {size} bytes{unpacked}, {expected} expected from its header"
        )
    return UserError(f"{path} cannot be read as an MRC file: {error}")


def not_finite(path: Path, count: int, total: int) -> UserError:
    """Say that `count` of the `total` values of a file are not finite."""
    what = "value that is" if count == 1 else "values that are"
    return UserError(f"{path} holds {count} {what} not finite, of {total}")


def _expected_bytes(header: bytes) -> int:
    """Size of the whole file; 0 where the header does not tell."""
    if len(header) < HEADER_BYTES:
        return HEADER_BYTES
    order = ">" if header[212] == 0x11 else "<"
    columns, rows, sections, mode = struct.unpack(f"{order}4i", header[:16])
    (extended,) = struct.unpack(f"{order}i", header[92:96])
    width = _BYTES_OF_MODE.get(mode, 0)
    return HEADER_BYTES + extended + columns * rows * sections * width if width else 0
