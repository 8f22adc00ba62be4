"""The padded Fourier grid on which RELION accumulates, and its pruned inverse transform.

RELION hands over half-complex arrays of shape (P, P, P // 2 + 1), P = padding x N, that are zero
beyond a radius R. Only the cube of indices below R is ever read, and each one-dimensional inverse
transform is cropped to the N voxels wanted before the next axis is transformed, so no padded
volume exists at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module, fft_module

_BLOCK_VOXELS = 1 << 21
"""Voxels handled at a time: large enough to hide call overheads, small enough to stay in cache."""


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

    def squared_radius(self, rows: slice) -> np.ndarray:
        """Squared radius of the cropped grid's z rows `rows`: (rows, 2R - 1, R) int32."""
        z, y = self.rows[rows] ** 2, self.rows**2
        x = np.arange(self.radius, dtype=np.int32) ** 2
        return z[:, None, None] + y[:, None] + x

    def blocks(self) -> Iterator[slice]:
        """Slices of cropped z rows, contiguous in RELION's arrays, of a handy size."""
        depth = max(1, _BLOCK_VOXELS // (2 * self.radius * self.radius))
        for begin, end in ((0, self.radius), (self.radius, 2 * self.radius - 1)):
            for start in range(begin, end, depth):
                yield slice(start, min(start + depth, end))

    def read(self, array: Array, rows: slice) -> np.ndarray:
        """Read cropped z rows of one of RELION's (P, P, P // 2 + 1) arrays.

        Returns
        -------
        (rows, 2R - 1, R) float32
        """
        edge = self.radius
        offset = 0 if rows.start < edge else self.size - (2 * edge - 1)
        planes = array[rows.start + offset : rows.stop + offset]
        return np.concatenate(
            [planes[:, :edge, :edge], planes[:, self.size - edge + 1 :, :edge]], axis=1
        )

    def inverse(self, block: Callable[[slice], Array]) -> Array:
        """Inverse transform to the central N^3 voxels.

        Parameters
        ----------
        block : callable
            Given a slice of cropped z rows, returns the transform there: (rows, 2R - 1, R)
            complex64, NumPy or CuPy.

        Returns
        -------
        (N, N, N) float32
            The unit-round-trip inverse (1/P^3) of the half-complex grid, origin at N // 2.
        """
        cropped_y = self._transform_y(block)
        cropped_zy = self._transform_z(cropped_y)
        del cropped_y
        return self._transform_x(cropped_zy)

    def _transform_y(self, block: Callable[[slice], Array]) -> Array:
        result = None
        for rows in self.blocks():
            part = self._crop(self._inverse_along(block(rows), axis=1), axis=1)
            if result is None:
                xp = array_module(part)
                result = xp.empty((2 * self.radius - 1, self.box, self.radius), dtype=np.complex64)
            result[rows] = part
        return result

    def _transform_z(self, half: Array) -> Array:
        result = array_module(half).empty((self.box, self.box, self.radius), dtype=np.complex64)
        depth = max(1, _BLOCK_VOXELS // (self.size * self.radius))
        for start in range(0, self.box, depth):
            columns = slice(start, min(start + depth, self.box))
            result[:, columns] = self._crop(self._inverse_along(half[:, columns], axis=0), axis=0)
        return result

    def _transform_x(self, half: Array) -> Array:
        result = array_module(half).empty((self.box,) * 3, dtype=np.float32)
        depth = max(1, _BLOCK_VOXELS // (self.size * self.box))
        for start in range(0, self.box, depth):
            planes = slice(start, min(start + depth, self.box))
            lines = fft_module(half).irfft(half[planes], n=self.size, axis=2)
            result[planes] = self._crop(lines, axis=2)
        return result

    def _inverse_along(self, cropped: Array, axis: int) -> Array:
        """Inverse FFT of length P along `axis` of cropped rows, zero where they were cropped."""
        edge = self.radius
        shape = list(cropped.shape)
        shape[axis] = self.size
        padded = array_module(cropped).zeros(shape, dtype=np.complex64)
        moved, source = np.moveaxis(padded, axis, 0), np.moveaxis(cropped, axis, 0)
        moved[:edge] = source[:edge]
        if edge > 1:
            moved[1 - edge :] = source[edge:]
        return fft_module(padded).ifft(padded, axis=axis, overwrite_x=True)

    def _crop(self, lines: Array, axis: int) -> Array:
        """Central N of P samples along `axis`, moving the origin from index 0 to N // 2."""
        xp = array_module(lines)
        before = self.box // 2
        index = xp.arange(-before, self.box - before) % self.size
        return xp.take(lines, index, axis=axis)
