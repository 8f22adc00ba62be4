"""Directions in Fourier space, where a direction and its opposite are one."""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array, array_module

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def fibonacci_half_sphere(count: int) -> np.ndarray:
    """Evenly spread unit vectors (x, y, z) with z > 0, on a Fibonacci lattice.

    Returns
    -------
    (count, 3) float64
    """
    index = np.arange(count)
    z = (index + 0.5) / count
    across = np.sqrt(1 - z**2)
    angle = GOLDEN_ANGLE * index
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)


class HalfSphereGrid:
    """Cells of nearly equal area on the half sphere x >= 0, in rings about x.

    Attributes
    ----------
    centres : (cells, 3) float64
        Unit vectors (x, y, z).
    """

    def __init__(self, spacing_degrees: float) -> None:
        self._rings = round(90 / spacing_degrees)
        tilt = (np.arange(self._rings) + 0.5) * (np.pi / 2 / self._rings)
        self._cells_in = np.ceil(4 * self._rings * np.sin(tilt)).astype(np.int64)
        self._first_of = np.cumsum(self._cells_in) - self._cells_in
        ring = np.repeat(np.arange(self._rings), self._cells_in)
        step = np.arange(len(ring)) - self._first_of[ring]
        angle = 2 * np.pi * (step + 0.5) / self._cells_in[ring] - np.pi
        x, across = np.cos(tilt[ring]), np.sin(tilt[ring])
        self.centres = np.stack([x, across * np.cos(angle), across * np.sin(angle)], axis=1)

    def cell_of(self, x: Array, y: Array, z: Array) -> Array:
        """Index of the cell that holds each vector; any length but 0, x >= 0.

        Parameters
        ----------
        x, y, z : float32 arrays that broadcast to one shape

        Returns
        -------
        int64 array of that shape
        """
        xp = array_module(x)
        tilt = xp.arctan2(xp.hypot(y, z), x)
        ring = (tilt * np.float32(self._rings / (np.pi / 2))).astype(np.int64)
        ring = xp.minimum(ring, self._rings - 1)
        turn = xp.arctan2(z, y) * np.float32(0.5 / np.pi) + np.float32(0.5)
        cells_in = xp.asarray(self._cells_in)[ring]
        step = xp.minimum((turn * cells_in).astype(np.int64), cells_in - 1)
        return xp.asarray(self._first_of)[ring] + step
