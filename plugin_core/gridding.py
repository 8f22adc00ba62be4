"""Iterative gridding weights (Pipe & Menon, Magn. Reson. Med. 1999), as RELION iterates them.

RELION 3.1 by default, and relion_external_reconstruct always, replace the division by the weights
with ten iterations towards a function that, multiplied by the weights, has a compact convolution
with a blob kernel equal to one.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from plugin_core.backend import for_slabs

_ITERATIONS = 10
_TABLE_SIZE = 10_000
"""RELION tabulates the kernel for w in [0, 0.5) and truncates the index."""

_BLOB_RADIUS = 3.8
"""Blob radius in voxels: 1.9 for an image padded twofold."""

_BLOB_ALPHA = 15.0


def gridding_weights(weight: np.ndarray, radius: int, padded_box: float) -> np.ndarray:
    """Multipliers for the data that take the place of 1 / weight.

    Parameters
    ----------
    weight : (n, n, n // 2 + 1) float64
        Weights, prior included, in FFT order on the odd grid n = 2 (R + 1) + 1.
    radius : int
        R: the multipliers are zero at squared radius R^2 and beyond.
    padded_box : float
        N x padding, the scale of the kernel.

    Returns
    -------
    (n, n, n // 2 + 1) float64
    """
    n = weight.shape[0]
    axis2 = scipy.fft.fftfreq(n, 1 / n) ** 2
    inside = (axis2[:, None, None] + axis2[:, None] + axis2[: n // 2 + 1]) < radius**2
    kernel = _kernel(n, padded_box)
    result = inside.astype(np.float64)
    for _ in range(_ITERATIONS):
        convolved = np.maximum(np.abs(_multiply_in_real_space(result * weight, kernel)), 1e-6)
        np.divide(result, convolved, out=result, where=inside)
        del convolved
    return result


def _multiply_in_real_space(transform: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Transform back, multiply by `kernel` and transform again: (n, n, n // 2 + 1) complex128.

    Axis by axis, since whole transforms make copies, and nothing else takes as much memory.
    """
    half = scipy.fft.ifftn(transform.astype(np.complex128), axes=(0, 1), overwrite_x=True)
    del transform
    volume = scipy.fft.irfft(half, n=len(kernel), axis=2)
    del half
    volume *= kernel
    half = scipy.fft.rfft(volume, axis=2)
    del volume
    return scipy.fft.fftn(half, axes=(0, 1), overwrite_x=True)


def _kernel(n: int, padded_box: float) -> np.ndarray:
    """Fourier transform of the Kaiser-Bessel blob of order 0, tabulated, 1 at zero frequency.

    Returns
    -------
    (n, n, n) float32
    """
    table = _blob_transform(np.arange(_TABLE_SIZE) * (0.5 / _TABLE_SIZE))
    table = np.append(table / table[0], 0).astype(np.float32)
    # RELION counts the middle index of its odd grid as negative: one voxel further out than it is.
    offset2 = np.where(np.arange(n) < n // 2, np.arange(n), np.arange(n) - n) ** 2
    of_plane = offset2[:, None] + offset2
    kernel = np.empty((n, n, n), dtype=np.float32)

    def fill(z: slice) -> None:
        frequency = np.sqrt(offset2[z, None, None] + of_plane) / padded_box
        index = (frequency * (_TABLE_SIZE / 0.5)).astype(np.int64)
        kernel[z] = table[np.minimum(index, _TABLE_SIZE)]

    for_slabs(kernel, fill)
    return kernel


def _blob_transform(frequency: np.ndarray) -> np.ndarray:
    """Transform of the blob in three dimensions, up to a constant (Lewitt, JOSA A 1990).

    With s = sqrt(|alpha^2 - (2 pi a w)^2|) it is I_{3/2}(s) / s^{3/2} below w = alpha / (2 pi a)
    and J_{3/2}(s) / s^{3/2} above, both written out in elementary functions.
    """
    argument = 2 * np.pi * _BLOB_RADIUS * frequency
    s = np.sqrt(np.abs(_BLOB_ALPHA**2 - argument**2))
    with np.errstate(over="ignore"):
        below = np.cosh(s) - np.sinh(s) / s
        above = np.sin(s) / s - np.cos(s)
    return np.where(argument <= _BLOB_ALPHA, below, above) / s**2
