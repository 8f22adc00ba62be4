"""Iterative gridding weights (Pipe & Menon, Magn. Reson. Med. 1999), as RELION iterates them.

RELION 3.1 by default, and relion_external_reconstruct always, replace the division by the weights
with ten iterations towards a function that, multiplied by the weights, has a compact convolution
with a blob kernel equal to one.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

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
    signed = scipy.fft.fftfreq(n, 1 / n)
    axis2 = signed**2
    inside = (axis2[:, None, None] + axis2[:, None] + axis2[: n // 2 + 1]) < radius**2
    # RELION counts the middle index of its odd grid as negative: one voxel further out than it is.
    offset2 = np.where(np.arange(n) < n // 2, np.arange(n), np.arange(n) - n) ** 2
    kernel = _kernel(np.sqrt(offset2[:, None, None] + offset2[:, None] + offset2) / padded_box)
    result = inside.astype(np.float64)
    for _ in range(_ITERATIONS):
        blurred = scipy.fft.irfftn(result * weight, s=(n, n, n), overwrite_x=True)
        blurred *= kernel
        convolved = np.maximum(np.abs(scipy.fft.rfftn(blurred, overwrite_x=True)), 1e-6)
        result[inside] /= convolved[inside]
    return result


def _kernel(frequency: np.ndarray) -> np.ndarray:
    """Fourier transform of the Kaiser-Bessel blob of order 0, tabulated, 1 at zero frequency."""
    table = _blob_transform(np.arange(_TABLE_SIZE) * (0.5 / _TABLE_SIZE))
    index = (frequency * (_TABLE_SIZE / 0.5)).astype(np.int64)
    values = table[np.minimum(index, _TABLE_SIZE - 1)] / table[0]
    return np.where(index < _TABLE_SIZE, values, 0.0)


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
