"""A large MRC file, read in pieces.

Not through a memory map: where a mapped file is cut short or its disk fails, the system ends the
process by a signal, without a word; and mapped pages count as memory of the process.
"""

from __future__ import annotations

import math
from io import RawIOBase
from pathlib import Path

import numpy as np

from relion_external.damaged_mrc import not_finite
from relion_external.errors import UserError
from relion_external.volumes import map_array


class ArrayFile:
    """An array in a file, of which slices are read as they are asked for.

    Parameters
    ----------
    path : Path
        MRC file of 32-bit reals.
    shape : tuple of int
        Shape in (z, y, x) order that it must have; UserError as for
        :func:`relion_external.volumes.map_array`.

    Attributes
    ----------
    bytes_read : int
        Of the file so far.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        header = map_array(path, shape)
        assert isinstance(header, np.memmap)
        self._path, self._shape, self._offset = path, shape, header.offset

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        """Read ``array[z, y, x]``, three slices without a step: float32 values.

        Raises
        ------
        UserError
            If the file cannot be read there.
        """
        z, y, x = (range(*each.indices(size)) for each, size in zip(key, self._shape, strict=True))
        rows = np.empty((len(z), len(y), self._shape[2]), dtype=np.float32)
        try:
            with self._path.open("rb", buffering=0) as file:
                for index, plane in enumerate(rows):
                    first = (z.start + index) * self._shape[1] + y.start
                    file.seek(self._offset + 4 * first * self._shape[2])
                    self._fill(file, memoryview(plane.data).cast("B"))
        except OSError as error:
            raise UserError(f"{self._path} cannot be read: {error.strerror or error}") from error
        return rows[:, :, x.start : x.stop]

    def require_finite(self) -> None:
        """Raise UserError if any value of the whole array is not finite."""
        planes = (self[z : z + 1, :, :] for z in range(self._shape[0]))
        finite = sum(int(np.isfinite(plane).sum()) for plane in planes)
        total = math.prod(self._shape)
        if finite < total:
            raise not_finite(self._path, total - finite, total)

    def _fill(self, file: RawIOBase, buffer: memoryview) -> None:
        """Read until the buffer is full, since the system may return less than was asked for."""
        while buffer:
            count = file.readinto(buffer)
            if not count:
                raise UserError(
                    f"{self._path} ends before its last value: it was cut short, or is still being "
                    "written"
                )
            buffer = buffer[count:]
