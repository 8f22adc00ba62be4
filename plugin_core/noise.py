"""Noise power of a raw half-map: by shell, per Fourier voxel of its unnormalised transform."""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import shell_power
from plugin_core.masks import soft_sphere
from plugin_core.weights import RadialWeights


def from_fsc(half_map: Array, region: Array, signal_fraction: np.ndarray) -> np.ndarray:
    """Noise power from the part of the half-map's power that the FSC calls noise.

    The power is taken inside a region, and the noise, as if it filled the box evenly, scaled up to
    the whole of it.

    Parameters
    ----------
    half_map : (N, N, N) float32
    region : (N, N, N) float32
        Soft mask, 0 to 1, of what the FSC was measured in: a tighter one holds more signal than
        that FSC tells of, which would count as noise.
    signal_fraction : (N // 2 + 1,) float64
        FSC of the two half-maps, which is signal / (signal + noise) of each.

    Returns
    -------
    (N // 2 + 1,) float64
    """
    covered = float((region**2).mean(dtype=np.float64))
    power = shell_power(half_map * region, len(signal_fraction))
    return (1 - np.clip(signal_fraction, 0, 1)) * power / covered


def from_weights(
    radial: RadialWeights, data_dimension: int = 2, counted_fraction: float = 1.0
) -> np.ndarray:
    """Noise power that the accumulated weights predict: for maps that have no other half.

    A weight is a sum of CTF^2 / sigma^2, so its inverse is the noise variance of the data in
    RELION's units: of one real component of a transform that was divided by the number of values
    in an image or sub-tomogram.

    Parameters
    ----------
    radial : RadialWeights
    data_dimension : int
        2 for images, 3 for sub-tomograms, as given to the reconstruction.
    counted_fraction : float
        Fraction of the noise power that sigma^2 counts: below 1 where RELION measured it in
        particles masked with zeros, but reconstructs from the unmasked ones.

    Returns
    -------
    (max_shell + 1,) float64
        0 in shells where nothing was measured.
    """
    means = radial.shell_means()
    sigma2 = np.zeros_like(means)
    measured = means > 0
    sigma2[measured] = 1 / (radial.grid.padding**3 * means[measured])
    return 2 * sigma2 * float(radial.grid.box) ** (2 * data_dimension) / counted_fraction


def from_solvent(half_map: Array, support: Array) -> np.ndarray:
    """Noise power from what lies around the support: for a half-map alone, without weights.

    Only the sphere of radius N / 2 counts, since maps are often blank beyond it.

    Returns
    -------
    (N // 2 + 1,) float64

    Raises
    ------
    ValueError
        If less than a twentieth of the box is solvent in this sense.
    """
    box = half_map.shape[0]
    solvent = (1 - support) * soft_sphere(box, box / 2 - 5, 5.0, array_module(half_map))
    covered = float((solvent**2).mean(dtype=np.float64))
    if covered < 0.05:
        raise ValueError(
            f"only {100 * covered:.0f} % of the box is solvent, too little to measure the noise in"
        )
    return shell_power(half_map * solvent, box // 2 + 1) / covered
