"""Random noise and random blur for the training pairs (Kimanius et al. 2024, Eqns 1 and 2)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from plugin_core import fourier

INFILL_ANGSTROM = 15.0
"""Resolution of what the target keeps outside the molecule's mask."""


@dataclass(frozen=True)
class Augmentation:
    """How much the pairs are varied.

    Attributes
    ----------
    noise : float
        Largest standard deviation of the noise that is added to the inputs, relative to that of
        the half-map.
    blur : float
        Largest B-factor in Å^2, along any axis, of the random anisotropic Gaussian filters.
    intensity : float
        Inputs are scaled by a factor of up to 1 ± this.
    affine : float
        Fraction of the blocks that are cut at a random rotation, scale and shear; the others are
        turned by right angles only, which needs no interpolation.
    """

    noise: float = 1.0
    blur: float = 60.0
    intensity: float = 0.1
    affine: float = 0.25


def coloured_noise(box: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the transform of Gaussian noise of unit deviation, amplitude (1 + radius)^-exponent.

    Returns
    -------
    (box, box, box // 2 + 1) complex64
    """
    profile = (1 + fourier.radii(box)) ** -exponent
    profile[0] = 0  # a constant is no noise
    deviation = np.sqrt((profile**2 * _radius_counts(box)).sum() / box**3)
    white = fourier.rfftn(rng.standard_normal((box, box, box), dtype=np.float32))
    return fourier.apply_radial(white, profile / deviation)


@functools.lru_cache(maxsize=64)
def _radius_counts(box: int) -> np.ndarray:
    """Voxels of the full Fourier grid at every squared radius of :func:`fourier.radii`."""
    axis = np.fft.fftfreq(box, 1 / box).round().astype(np.int64) ** 2
    squared = axis[:, None, None] + axis[:, None] + axis
    return np.bincount(squared.ravel(), minlength=len(fourier.radii(box)))


def random_blur(largest: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the B-factor tensor of an anisotropic Gaussian filter.

    Parameters
    ----------
    largest : float
        Largest B-factor along a principal axis, in Å^2; each axis draws its own, uniformly.

    Returns
    -------
    (3, 3) float64
        Symmetric, positive semi-definite, in Å^2.
    """
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return (axes * rng.uniform(0, largest, 3)) @ axes.T


def blur(transform: np.ndarray, b_factors: np.ndarray, voxel_size: float) -> np.ndarray:
    """Multiply a half-complex transform by exp(-q B q / 4), q the spatial frequency in 1/Å."""
    box = transform.shape[0]
    full = np.fft.fftfreq(box, voxel_size).astype(np.float32)
    half = np.fft.rfftfreq(box, voxel_size).astype(np.float32)
    z, y, x = full[:, None, None], full[:, None], half
    b = b_factors.astype(np.float32)
    exponent = b[0, 0] * z * z + b[1, 1] * y * y + b[2, 2] * x * x
    exponent = exponent + 2 * (b[0, 1] * z * y + b[0, 2] * z * x + b[1, 2] * y * x)
    return transform * np.exp(-exponent / 4)


def infill(volume: np.ndarray, mask: np.ndarray, voxel_size: float) -> np.ndarray:
    """Keep the molecule, and of the rest what is seen at 15 Å (the target of Eqn 2)."""
    box = volume.shape[0]
    radius = fourier.radii(box)
    cutoff = box * voxel_size / INFILL_ANGSTROM
    low_pass = fourier.raised_cosine_low_pass(radius, cutoff, edge_width=2.0)
    smooth = fourier.irfftn(fourier.apply_radial(fourier.rfftn(volume), low_pass), box)
    return volume * mask + smooth * (1 - mask)
