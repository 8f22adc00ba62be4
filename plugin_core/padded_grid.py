"""The padded Fourier grid on which RELION accumulates, and its pruned inverse transform.

RELION hands over half-complex arrays of shape (P, P, P // 2 + 1), P = padding x N, that are zero
beyond a radius R. Only the cube of indices below R is ever read, and each one-dimensional inverse
transform is cropped to the N voxels wanted before the next axis is transformed, so no padded
volume exists at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

import numpy as np

from plugin_core.backend import Array, array_module, fft_module, for_blocks, for_slabs

Loaded = TypeVar("Loaded")

_BLOCK_VOXELS = 1 << 19
"""Voxels read at a time: large enough to hide call overheads, small enough to stay in cache."""


@dataclass(frozen=True)
class PaddedGrid:
    """Geometry of one reconstruction.

    Attributes
    ----------
    box : int
        N, voxels a side of the map.
    padding : float
        RELION's padding factor p, 1 or 2.
    max_shell : int
        Last shell that was measured: half of RELION's current image size.
    """

    box: int
    padding: float
    max_shell: int

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError(f"box {self.box} and padding {self.padding:g} give an odd padded size")
        if not 0 < self.max_shell <= self.box // 2:
            raise ValueError(f"the current image size / 2 = {self.max_shell} is not in 1..box / 2")

    @property
    def size(self) -> int:
        """P, voxels a side of the padded grid."""
        return int(np.floor(self.padding * self.box + 0.5))

    @property
    def radius(self) -> int:
        """R: voxels with squared radius R^2 or more are not used."""
        return int(np.floor(self.max_shell * self.padding + 0.5))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of RELION's arrays."""
        return (self.size, self.size, self.size // 2 + 1)

    @property
    def rows(self) -> np.ndarray:
        """Signed z (or y) index of each row of the cropped grid, in FFT order, int32."""
        positive = np.arange(self.radius, dtype=np.int32)
        return np.concatenate([positive, -positive[:0:-1]])

    def squared_radius(self, rows: slice, xp: ModuleType = np) -> Array:
        """Squared radius of the cropped grid's z rows `rows`: (rows, 2R - 1, R) int64."""
        squares = xp.asarray(self.rows.astype(np.int64) ** 2)
        return squares[rows, None, None] + (squares[:, None] + squares[: self.radius])

    def blocks(self) -> Iterator[slice]:
        """Slices of cropped z rows, contiguous in RELION's arrays, of a handy size."""
        depth = max(1, _BLOCK_VOXELS // (2 * self.radius * self.radius))
        for begin, end in ((0, self.radius), (self.radius, 2 * self.radius - 1)):
            for start in range(begin, end, depth):
                yield slice(start, min(start + depth, end))

    def read(self, array: Array, rows: slice) -> np.ndarray:
        """Read cropped z rows of one of RELION's (P, P, P // 2 + 1) arrays.

        Parameters
        ----------
        array : Array
            Or anything else of which a slice along z, y and x is a NumPy array.

        Returns
        -------
        (rows, 2R - 1, R) float32
        """
        edge = self.radius
        offset = 0 if rows.start < edge else self.size - (2 * edge - 1)
        z, x = slice(rows.start + offset, rows.stop + offset), slice(0, edge)
        positive, negative = slice(0, edge), slice(self.size - edge + 1, self.size)
        return np.concatenate([array[z, positive, x], array[z, negative, x]], axis=1)

    def inverse(
        self,
        load: Callable[[slice], Loaded],
        transform: Callable[[slice, Loaded], Array],
        xp: ModuleType,
    ) -> Array:
        """Inverse transform to the central N^3 voxels.

        Parameters
        ----------
        load : callable
            Given a slice of cropped z rows, reads what `transform` needs there.
        transform : callable
            Given the slice and what was read, returns the transform there: (rows, 2R - 1, R)
            complex64 of `xp`.
        xp : module
            numpy or cupy.

        Returns
        -------
        (N, N, N) float32
            The unit-round-trip inverse (1/P^3) of the half-complex grid, origin at N // 2.
        """
        cropped_zy = self._transform_z(self._transform_y(load, transform, xp))
        return self._transform_x(cropped_zy)

    def _transform_y(
        self,
        load: Callable[[slice], Loaded],
        transform: Callable[[slice, Loaded], Array],
        xp: ModuleType,
    ) -> Array:
        result = xp.empty((2 * self.radius - 1, self.box, self.radius), dtype=np.complex64)

        def fill(rows: slice, loaded: Loaded) -> None:
            self._inverse_along(transform(rows, loaded), result[rows], axis=1)

        for_blocks(self.blocks(), load, fill, xp)
        return result

    def _transform_z(self, half: Array) -> Array:
        shape = (self.box, self.box, self.radius)
        result = array_module(half).empty(shape, dtype=np.complex64)

        def fill(columns: slice) -> None:
            self._inverse_along(half[:, columns], result[:, columns], axis=0)

        for_slabs(result, fill, axis=1)
        return result

    def _transform_x(self, half: Array) -> Array:
        result = array_module(half).empty((self.box,) * 3, dtype=np.float32)

        def fill(planes: slice) -> None:
            lines = fft_module(half).irfft(half[planes], n=self.size, axis=2)
            self._crop(lines, result[planes], axis=2)

        for_slabs(result, fill)
        return result

    def _inverse_along(self, cropped: Array, target: Array, axis: int) -> None:
        """Inverse FFT of length P of cropped rows, zero where they were cropped, cropped to N."""
        edge = self.radius
        shape = list(cropped.shape)
        shape[axis] = self.size
        padded = array_module(cropped).zeros(shape, dtype=np.complex64)
        moved, source = np.moveaxis(padded, axis, 0), np.moveaxis(cropped, axis, 0)
        moved[:edge] = source[:edge]
        if edge > 1:
            moved[1 - edge :] = source[edge:]
        self._crop(fft_module(padded).ifft(padded, axis=axis, overwrite_x=True), target, axis)

    def _crop(self, lines: Array, target: Array, axis: int) -> None:
        """Central N of P samples along `axis`, moving the origin from index 0 to N // 2."""
        before = self.box // 2
        moved, source = np.moveaxis(target, axis, 0), np.moveaxis(lines, axis, 0)
        moved[before:] = source[: self.box - before]
        moved[:before] = source[self.size - before :]
