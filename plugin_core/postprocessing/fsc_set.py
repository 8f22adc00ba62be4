"""The FSC curves of two raw half-maps: without mask, in a sphere, in a mask, and corrected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import shell_to_angstrom
from plugin_core.fsc import HALF_MAP_THRESHOLD, fourier_shell_correlation, last_shell_above
from plugin_core.masks import soft_sphere
from plugin_core.postprocessing.phase_randomization import corrected_fsc, randomize_phases

RANDOMISE_BELOW = 0.8
"""Phases are randomised from the shell where the unmasked FSC first drops below this (RELION)."""

SEED = 1
"""Seed of the random phases; fixed, so that the same half-maps give the same figures."""


@dataclass(frozen=True)
class FscSet:
    """FSC curves of one pair of half-maps, each (N // 2 + 1,) float64 with the shell as index.

    Attributes
    ----------
    box : int
        Voxels a side, N.
    voxel_size : float
        In Å.
    unmasked, spherical, masked : np.ndarray
        Without mask, in the sphere of :func:`box_sphere`, and in the given mask.
    randomised : np.ndarray or None
        In the given mask, with phases random from `randomised_from` on.
    corrected : np.ndarray
        `masked` without the mask's own correlation.
    randomised_from : int or None
        First shell with random phases. None where the unmasked FSC never drops below 0.8: there
        is nothing to randomise, and `corrected` is the unmasked curve.
    """

    box: int
    voxel_size: float
    unmasked: np.ndarray
    spherical: np.ndarray
    masked: np.ndarray
    randomised: np.ndarray | None
    corrected: np.ndarray
    randomised_from: int | None

    def resolution_angstrom(
        self, curve: str = "corrected", threshold: float = HALF_MAP_THRESHOLD
    ) -> float:
        """Resolution in Å of a curve by RELION's rule, not interpolated.

        It is that of the last shell before the curve first drops below `threshold`; infinite if
        the curve starts below it, Nyquist if it never drops.
        """
        shell = last_shell_above(getattr(self, curve), threshold)
        return shell_to_angstrom(shell, self.box, self.voxel_size)


def box_sphere(box: int, like: Array) -> Array:
    """CryoSPARC's spherical mask: 1 within 85 % of half the box, soft to its faces.

    Returns
    -------
    (box, box, box) float32
        On the device of `like`.
    """
    return soft_sphere(box, 0.85 * box / 2, 0.15 * box / 2, array_module(like))


def fsc_set(half1: Array, half2: Array, mask: Array, voxel_size: float, seed: int = SEED) -> FscSet:
    """Compute all curves of a pair.

    Parameters
    ----------
    half1, half2 : (N, N, N) float32
        Raw half-maps: unfiltered, unmasked, unsharpened.
    mask : (N, N, N) float32
        Soft mask, 0 to 1.
    voxel_size : float
        In Å.
    seed : int
        Of the random phases.

    Raises
    ------
    ValueError
        If the three arrays differ in shape.
    """
    if mask.shape != half1.shape:
        raise ValueError(f"the mask is {mask.shape}, the half-maps are {half1.shape}")
    sphere = box_sphere(half1.shape[0], half1)
    unmasked = fourier_shell_correlation(half1, half2)
    masked = fourier_shell_correlation(half1 * mask, half2 * mask)
    randomised, corrected, first_random_shell = None, unmasked, None
    if (unmasked[1:] < RANDOMISE_BELOW).any():
        first_random_shell = last_shell_above(unmasked, RANDOMISE_BELOW) + 1
        randomised = fourier_shell_correlation(
            randomize_phases(half1, first_random_shell, (seed, 1)) * mask,
            randomize_phases(half2, first_random_shell, (seed, 2)) * mask,
        )
        corrected = corrected_fsc(masked, randomised, first_random_shell)
    return FscSet(
        box=half1.shape[0],
        voxel_size=voxel_size,
        unmasked=unmasked,
        spherical=fourier_shell_correlation(half1 * sphere, half2 * sphere),
        masked=masked,
        randomised=randomised,
        corrected=corrected,
        randomised_from=first_random_shell,
    )
