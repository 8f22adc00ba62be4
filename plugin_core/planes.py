"""A real cube kept as its transform along y and x, so that it can be worked on plane by plane.

A three-dimensional transform carries the whole cube through memory once for every axis, and each
element-wise step before and after it once more. Here only the transforms along z pass over whole
arrays; those along y and x, and whatever is done with the voxels, take a few planes at a time and
stay in cache. Only frequencies below a limit are kept along each axis, because filters and windows
leave next to nothing beyond: the rest is neither stored nor transformed.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module, fft_module, for_slabs


class Planes:
    """A real (N, N, N) cube of low frequencies: first filled, then read plane by plane.

    Parameters
    ----------
    memory : (N, N, N // 2 + 1) complex64
        Where the transform is kept; its values are overwritten. Two cubes may share it if the one
        is read and the other written in the same pass over the planes.
    """

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self._box = memory.shape[0]
        self.set_limit(memory.shape[2])

    def set_limit(self, limit: int) -> None:
        """Keep frequencies -`limit` + 1 to `limit` - 1 along each axis, or all that there are."""
        box = self._box
        self._limit = min(limit, box // 2 + 1)
        negative = min(self._limit, box - box // 2) - 1
        rows = self._limit + negative
        # Where the frequencies of an axis are: here, and among those of the whole transform.
        self._parts = (
            (slice(0, self._limit), slice(0, self._limit)),
            (slice(self._limit, rows), slice(box - negative, box)),
        )
        self._kept = self._memory[:, :rows, : self._limit]

    def fill(self, transform: Array, gain: np.ndarray) -> None:
        """Make this the inverse transform of `transform` times a radial gain.

        Parameters
        ----------
        transform : (N, N, N // 2 + 1) complex64
        gain : float array
            Gain for every squared radius: a function evaluated on
            :func:`plugin_core.fourier.radii`.
        """
        xp = array_module(transform)
        table = xp.asarray(gain, dtype=np.float32)
        for kept, whole in self._parts:
            source, target = transform[:, whole, : self._limit], self._kept[:, kept]
            y2 = self._squares(xp)[kept, None]
            for_slabs(target, partial(self._invert_z, source, target, y2, table), axis=1)

    def _invert_z(self, source: Array, target: Array, y2: Array, table: Array, rows: slice) -> None:
        xp, fft = array_module(source), fft_module(source)
        squares = self._squares(xp)
        of_plane = y2[rows] + squares[: self._limit]
        lines = xp.zeros((self._box, *of_plane.shape), dtype=np.complex64)
        for kept, whole in self._parts:
            gains = xp.take(table, squares[kept, None, None] + of_plane)
            xp.multiply(source[whole, rows], gains, out=lines[whole])
        target[:, rows] = fft.ifft(lines, axis=0, overwrite_x=True)

    def _squares(self, xp: ModuleType) -> Array:
        """Squared frequency of every row that is kept."""
        ascending = xp.arange(self._limit) ** 2
        negative = self._kept.shape[1] - self._limit
        return xp.concatenate([ascending, ascending[negative:0:-1]])

    def read(self, z: slice) -> Array:
        """Return the planes `z` of the cube: (planes, N, N) float32."""
        kept = self._kept[z]
        xp, fft = array_module(kept), fft_module(kept)
        if self._kept.shape[1] == self._box:
            lines = fft.ifft(kept, axis=1)
        else:
            padded = xp.zeros((kept.shape[0], self._box, self._limit), dtype=np.complex64)
            for part, whole in self._parts:
                padded[:, whole] = kept[:, part]
            lines = fft.ifft(padded, axis=1, overwrite_x=True)
        return fft.irfft(lines, n=self._box, axis=2)

    def write(self, z: slice, planes: Array) -> None:
        """Set the planes `z` to (planes, N, N) float32 values, of which low frequencies are kept.

        Frequencies along z are not limited before :meth:`convolve`.
        """
        fft = fft_module(planes)
        lines = fft.fft(fft.rfft(planes, axis=2)[:, :, : self._limit], axis=1)
        for part, whole in self._parts:
            self._kept[z, part] = lines[:, whole]

    def convolve(self, full: np.ndarray, half: np.ndarray) -> None:
        """Multiply the transform by a separable gain, its factors given along one axis.

        Parameters
        ----------
        full, half : (N,), (N // 2 + 1,) float32
            Along z and y, in FFT order, and along x.
        """
        xp = array_module(self._kept)
        along_z = xp.asarray(full)[:, None, None]
        along_y = xp.concatenate([xp.asarray(full)[whole] for _, whole in self._parts])
        of_plane = along_y[:, None] * xp.asarray(half)[: self._limit]
        for_slabs(self._kept, partial(self._multiply, along_z, of_plane), axis=1)

    def _multiply(self, along_z: Array, of_plane: Array, rows: slice) -> None:
        fft = fft_module(self._kept)
        lines = fft.fft(self._kept[:, rows], axis=0)
        lines *= along_z
        lines *= of_plane[rows]
        self._kept[:, rows] = fft.ifft(lines, axis=0, overwrite_x=True)
