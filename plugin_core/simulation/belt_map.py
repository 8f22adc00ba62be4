"""Density of the average of many belts: what is left of them in a reconstruction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.simulation.belt import BeltMaker

_ELECTRONS_PER_CUBIC_ANGSTROM = 0.045 * 6.7  # of protein: a belt's contrast is relative to it


def average_belt(
    belts: BeltMaker, count: int, box: int, voxel_size: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Contrast of the average of `count` belts, 1 that of protein.

    Pseudo-atoms are counted in the voxels they fall into; what falls outside the box is lost.

    Returns
    -------
    (box, box, box) float32
        In z, y, x, origin at box // 2, before any blur.
    """
    contrast = np.zeros(box**3)
    for _ in range(count):
        belt = belts.draw(rng)
        voxel = np.rint(belt.coordinates[:, ::-1] / voxel_size).astype(int) + box // 2
        held = ((voxel >= 0) & (voxel < box)).all(axis=1)
        index = np.ravel_multi_index(tuple(voxel[held].T), (box,) * 3)
        contrast += np.bincount(index, belt.weights[held], minlength=box**3)
    contrast /= count * voxel_size**3 * _ELECTRONS_PER_CUBIC_ANGSTROM
    return contrast.reshape((box,) * 3).astype(np.float32)


def low_passed(
    volume: NDArray[np.float32], voxel_size: float, cutoff_angstrom: float
) -> NDArray[np.float32]:
    """Low-pass a cube with a raised cosine two shells wide."""
    box = volume.shape[0]
    gain = raised_cosine_low_pass(radii(box), box * voxel_size / cutoff_angstrom, edge_width=2.0)
    return irfftn(apply_radial(rfftn(volume), gain), box)
