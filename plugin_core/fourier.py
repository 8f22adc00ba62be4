"""Fourier conventions of the whole project, and the small tools that follow from them.

* Maps are cubes of N voxels a side in axis order (z, y, x); the origin is voxel N // 2.
* Transforms are NumPy's: ``rfftn`` unnormalised, ``irfftn`` with 1/N^3; half-complex arrays have
  shape (N, N, N // 2 + 1) with z and y in FFT order.
* A spatial frequency is given in *shells* (cycles per box); shell k is a resolution of
  N * voxel_size / k in Å. The shell of a Fourier voxel is its radius, rounded half up.
* A filter is radial, so it is a table over the *squared* integer radius: :func:`apply_radial`
  looks it up, which costs one gather instead of a power and a root per voxel.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from plugin_core.backend import Array, array_module, fft_module, for_slabs


def rfftn(volume: Array) -> Array:
    """Forward transform of a real (N, N, N) float32 volume to (N, N, N // 2 + 1) complex64."""
    return fft_module(volume).rfftn(volume)


def irfftn(transform: Array, box: int) -> Array:
    """Inverse of :func:`rfftn` for a cube of `box` voxels; `transform` is overwritten.

    In two steps, because SciPy's own irfftn puts the first into new memory: that halves the time
    at 256 voxels.
    """
    fft = fft_module(transform)
    partial = fft.ifftn(transform, axes=(0, 1), overwrite_x=True)
    return fft.irfft(partial, n=box, axis=2)


def squared_radius(box: int, xp: ModuleType = np) -> Array:
    """Squared integer radius of every voxel of the half-complex grid, int32, in shells squared."""
    axes = _squared_axes(box, xp)
    return axes[0][:, None, None] + axes[1]


def _squared_axes(box: int, xp: ModuleType) -> tuple[Array, Array]:
    """Squared index along z, (N,), and squared radius of each (y, x), (N, N // 2 + 1), int32."""
    full = xp.fft.fftfreq(box, 1 / box).round().astype(np.int32) ** 2
    half = xp.arange(box // 2 + 1, dtype=np.int32) ** 2
    return full, full[:, None] + half


def radii(box: int) -> np.ndarray:
    """Radius in shells (float64) of every squared radius that :func:`squared_radius` can hold."""
    return np.sqrt(np.arange(3 * (box // 2) ** 2 + 1, dtype=np.float64))


def apply_radial(transform: Array, gain: np.ndarray) -> Array:
    """Multiply a half-complex transform by a radial gain.

    Parameters
    ----------
    transform : (N, N, N // 2 + 1) complex64
    gain : float array
        Gain for every squared radius: a function evaluated on :func:`radii`.
    """
    xp = array_module(transform)
    table = xp.asarray(gain, dtype=np.float32)
    along_z, of_plane = _squared_axes(transform.shape[0], xp)
    result = xp.empty_like(transform)

    def multiply(z: slice) -> None:
        xp.multiply(transform[z], table[along_z[z, None, None] + of_plane], out=result[z])

    for_slabs(transform, multiply)
    return result


def butterworth(radius: np.ndarray, cutoff: float, order: int) -> np.ndarray:
    """Amplitude Butterworth gain 1 / sqrt(1 + (radius / cutoff)^(2 order)).

    `radius` and `cutoff` are in shells. At the cutoff the gain is 1/sqrt(2) (Punjani et al.,
    text below Eqn. 4, order 8).
    """
    with np.errstate(over="ignore"):  # far beyond the cutoff the power overflows to gain 0
        return 1 / np.sqrt(1 + (np.asarray(radius, dtype=np.float64) / cutoff) ** (2 * order))


def raised_cosine_low_pass(radius: np.ndarray, cutoff: float, edge_width: float) -> np.ndarray:
    """Low-pass gain: 1 inside, 0 outside, half a cosine of `edge_width` shells about `cutoff`."""
    phase = (np.asarray(radius, dtype=np.float64) - cutoff) / edge_width + 0.5
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(phase, 0, 1))


def shell_sums(values: Array, radius2: Array, shells: int) -> np.ndarray:
    """Sum a real quantity over shells of the *full* Fourier grid.

    Parameters
    ----------
    values : (N, N, N // 2 + 1) real
        A quantity equal at Friedel mates, such as a power.
    radius2 : (N, N, N // 2 + 1) int32
    shells : int
        Number of shells wanted, from shell 0; voxels beyond are left out.

    Returns
    -------
    (shells,) float64
    """
    xp = array_module(values)
    box = radius2.shape[0]
    shell_of = xp.asarray(shell_table(box))[radius2]
    friedel = xp.full(radius2.shape[-1], 2, dtype=np.float32)
    friedel[0] = 1
    if box % 2 == 0:
        friedel[-1] = 1
    sums = xp.bincount(
        shell_of.ravel(), weights=(values * friedel).astype(np.float64).ravel(), minlength=shells
    )
    return np.asarray(sums.get() if xp is not np else sums)[:shells]


def shell_table(box: int) -> np.ndarray:
    """Shell (radius rounded half up, int64) for every squared radius of a cube of `box` voxels."""
    return np.floor(radii(box) + 0.5).astype(np.int64)


@cache
def shell_counts(box: int, shells: int) -> np.ndarray:
    """Number of voxels of the full Fourier grid in each of the first `shells` shells, float64."""
    radius2 = squared_radius(box)
    counts = shell_sums(np.ones(radius2.shape, dtype=np.float32), radius2, shells)
    counts.flags.writeable = False  # whoever asks again is given the same array
    return counts


def shell_power(volume: Array, shells: int) -> np.ndarray:
    """Mean |rfftn(volume)|^2 per Fourier voxel in each of the first `shells` shells, float64."""
    xp = array_module(volume)
    box = volume.shape[0]
    transform = rfftn(volume)
    power = transform.real**2 + transform.imag**2
    return shell_sums(power, squared_radius(box, xp), shells) / shell_counts(box, shells)


def shell_to_angstrom(shell: float, box: int, voxel_size: float) -> float:
    """Resolution in Å of a shell of a box of `box` voxels; infinite for shell 0."""
    return box * voxel_size / shell if shell > 0 else float("inf")
