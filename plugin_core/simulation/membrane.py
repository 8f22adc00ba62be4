"""Where the membrane is in a membrane protein: the slab of its most hydrophobic surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLAB_THICKNESS = 30.0
"""Å."""


def find_membrane(
    position: NDArray[np.float64], energy: NDArray[np.float64], directions: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the slab of lowest summed transfer energy, over all directions and heights.

    Parameters
    ----------
    position : (residues, 3)
        Residues on the protein's surface, Å.
    energy : (residues,)
        Free energy of their transfer out of water.
    directions : int
        Normals tried; heights are tried in steps of 1 Å.

    Returns
    -------
    normal : (3,) float64
    centre : (3,) float64
        Of the residues inside the slab, half way through it.
    """
    middle = position.mean(axis=0)
    best = (np.inf, np.array([0.0, 0.0, 1.0]), 0.0)
    for normal in hemisphere(directions):
        height = (position - middle) @ normal
        lowest = height.min()
        of_layer = np.bincount((height - lowest).astype(int), energy)
        layers = min(int(SLAB_THICKNESS), len(of_layer))
        sums = np.convolve(of_layer, np.ones(layers), mode="valid")
        start = int(np.argmin(sums))
        if sums[start] < best[0]:
            best = (float(sums[start]), normal, float(lowest + start + SLAB_THICKNESS / 2))
    _, normal, height_of_centre = best
    inside = np.abs((position - middle) @ normal - height_of_centre) < SLAB_THICKNESS / 2
    in_slab = position[inside].mean(axis=0) - middle
    in_plane = in_slab - (in_slab @ normal) * normal
    return normal, middle + in_plane + height_of_centre * normal


def hemisphere(count: int) -> NDArray[np.float64]:
    """Directions spread evenly over the upper hemisphere (Fibonacci lattice), (count, 3)."""
    index = np.arange(count) + 0.5
    z = index / count
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
