"""Exact Fourier transforms of atoms: every projection, and the map they are projections of.

Each atom is a Gaussian of given weight and B factor, so its Fourier transform is known in closed
form and factorises over the axes: w exp(-B k^2 / 4) exp(-2 pi i k.r). Summing that directly, as
one matrix product per image, is exact at all frequencies of the box (no gridding, no
interpolation, no aliasing) and costs about as much as gridding does for ten thousand atoms.

Transforms are those of a map or image whose origin is the first voxel, unnormalised as in NumPy:
`fftshift(irfft2(transform))` is the image with its origin at voxel box // 2. They are zero outside
the Nyquist sphere, radius >= box / 2 shells. The sum of an image equals the sum of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray


@dataclass(frozen=True)
class Atoms:
    """Gaussian atoms: coordinates (n, 3) as x, y, z in Å, weights (n,), B factors (n,) in Å²."""

    coordinates: NDArray[np.float32]
    weights: NDArray[np.float32]
    b_factors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)


class Projector:
    """Projects one set of atoms in any orientation.

    Parameters
    ----------
    atoms
        Centred on the rotation centre.
    box, voxel_size
        Side of the images in pixels (even) and pixel size in Å.
    """

    def __init__(self, atoms: Atoms, box: int, voxel_size: float) -> None:
        if box % 2:
            raise ValueError(f"the box must have an even side, not {box}")
        self.box, self.voxel_size = box, voxel_size
        self._coordinates = np.asarray(atoms.coordinates, dtype=np.float64)
        self._decay = _decay(atoms.b_factors, box, voxel_size)
        self._weighted_decay = self._decay * atoms.weights

    def __call__(self, rotation: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Return the transform, (box, box // 2 + 1), of the projection by a (3, 3) rotation."""
        x, y = rotation[:2] @ self._coordinates.T
        along_x = _phasors(x, self.box, self.voxel_size) * self._weighted_decay
        along_y = _phasors(y, self.box, self.voxel_size) * self._decay
        # Real products of cosines and sines give both signs of ky at once, at half the cost.
        product = _real_rows(along_y) @ _real_rows(along_x).T
        half = self.box // 2 + 1
        from_cos = product[:half, :half] + 1j * product[:half, half:]
        from_sin = product[half:, :half] + 1j * product[half:, half:]
        transform = np.empty((self.box, half), dtype=np.complex64)
        transform[:half] = from_cos + 1j * from_sin
        transform[half:] = (from_cos - 1j * from_sin)[-2:0:-1]
        return transform * _inside_nyquist(self.box, 2)


def map_transform(atoms: Atoms, box: int, voxel_size: float) -> NDArray[np.complex64]:
    """Return the three-dimensional transform of the atoms, (box, box, box // 2 + 1) as z, y, x."""
    decay = _decay(atoms.b_factors, box, voxel_size)
    along_x, along_y, along_z = (
        _phasors(axis, box, voxel_size) * decay
        for axis in np.asarray(atoms.coordinates, dtype=np.float64).T
    )
    along_x *= atoms.weights
    along_y, along_z = _both_signs(along_y), _both_signs(along_z)
    transform = np.stack([(plane * along_y) @ along_x.T for plane in along_z])
    return transform * _inside_nyquist(box, 3)


def to_real_space(transform: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the image or map of one transform, origin at voxel box // 2."""
    real = scipy.fft.irfftn(transform, (transform.shape[0],) * transform.ndim)
    return scipy.fft.fftshift(real)


def shift_phases(shift: NDArray[np.float64], box: int, voxel_size: float) -> NDArray[np.complex64]:
    """Factors, (box, box // 2 + 1), that move the content of an image by `shift` (x, y) in Å."""
    along_x = np.exp(-2j * np.pi * shift[0] * np.fft.rfftfreq(box, voxel_size))
    along_y = np.exp(-2j * np.pi * shift[1] * np.fft.fftfreq(box, voxel_size))
    return np.multiply.outer(along_y, along_x).astype(np.complex64)


def _decay(b_factors: NDArray[np.float32], box: int, voxel_size: float) -> NDArray[np.float32]:
    """exp(-B k^2 / 4) along one axis, (box // 2 + 1, atoms)."""
    k = np.fft.rfftfreq(box, voxel_size)[:, None]
    return np.exp(-0.25 * b_factors[None, :] * k**2).astype(np.float32)


def _phasors(position: NDArray[np.float64], box: int, voxel_size: float) -> NDArray[np.complex64]:
    """exp(-2 pi i k x) for k = 0 ... box / 2, (box // 2 + 1, atoms), by repeated doubling."""
    count = box // 2 + 1
    powers = np.empty((count, position.size), dtype=np.complex64)
    step = position / (box * voxel_size)
    powers[0] = 1.0
    filled = 1
    while filled < count:
        more = min(filled, count - filled)
        turn = np.exp(-2j * np.pi * (filled * step)).astype(np.complex64)
        np.multiply(powers[:more], turn, out=powers[filled : filled + more])
        filled += more
    return powers


def _real_rows(rows: NDArray[np.complex64]) -> NDArray[np.float32]:
    return np.concatenate([rows.real, rows.imag])


def _both_signs(rows: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Rows for k = 0 ... box / 2 extended to the order of `numpy.fft.fftfreq`."""
    return np.concatenate([rows, rows[-2:0:-1].conj()])


def _inside_nyquist(box: int, dimensions: int) -> NDArray[np.bool_]:
    full = np.fft.fftfreq(box, 1.0 / box) ** 2
    half = np.fft.rfftfreq(box, 1.0 / box) ** 2
    radius2 = half
    for _ in range(dimensions - 1):
        radius2 = np.add.outer(full, radius2)
    return radius2 < (box / 2) ** 2
