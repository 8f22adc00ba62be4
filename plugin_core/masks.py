"""Soft spherical masks."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from plugin_core.backend import Array, for_slabs


def squared_distance(box: int, xp: ModuleType = np, z: slice = slice(None)) -> Array:
    """Squared distance in voxels from the origin voxel box // 2: (box, box, box) float32.

    Or of some planes only, `z`.
    """
    axis = (xp.arange(box, dtype=np.float32) - box // 2) ** 2
    return axis[z, None, None] + (axis[:, None] + axis)


def soft_sphere(box: int, radius: float, edge_width: float, xp: ModuleType = np) -> Array:
    """Sphere about the origin voxel with a raised-cosine edge *outside* `radius`.

    Parameters
    ----------
    box : int
        Voxels a side.
    radius, edge_width : float
        In voxels: 1 within `radius`, 0 beyond `radius` + `edge_width`, which may be 0.

    Returns
    -------
    (box, box, box) float32
    """
    sphere = xp.empty((box,) * 3, dtype=np.float32)
    fall = np.float32(max(edge_width, 1e-3))  # of no width, it would be a division by zero

    def fill(z: slice) -> None:
        distance = xp.sqrt(squared_distance(box, xp, z))
        phase = xp.clip((distance - np.float32(radius)) / fall, 0, 1)
        sphere[z] = 0.5 + 0.5 * xp.cos(np.float32(np.pi) * phase)

    for_slabs(sphere, fill)
    return sphere


def particle_sphere(
    box: int, particle_diameter: float, voxel_size: float, xp: ModuleType = np
) -> Array:
    """Soft sphere that holds the particle, as RELION's own solvent sphere: 5-voxel edge.

    `particle_diameter` and `voxel_size` are in Å. The sphere is kept inside the box, edge
    included, so that nothing wraps around.
    """
    edge_width = 5.0
    radius = min(particle_diameter / (2 * voxel_size), box / 2 - edge_width)
    return soft_sphere(box, radius, edge_width, xp)
