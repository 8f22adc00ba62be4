"""Point-group symmetry, in the orientations that RELION uses."""

from __future__ import annotations

import re

import numpy as np

from plugin_core.backend import Array, array_module

GROUPS = "Cn, Dn, O or I1"
"""Groups whose orientation here was checked against relion_refine --print_symmetry_ops."""


def rotations(group: str) -> np.ndarray:
    """Rotation matrices of a point group, acting on (x, y, z).

    Parameters
    ----------
    group : str
        RELION's name: C and D of any order (n-fold along z, two-fold of D along x), O (four-fold
        along z) or I1 (two-folds along x, y and z).

    Returns
    -------
    (operations, 3, 3) float64

    Raises
    ------
    ValueError
        If the name is none of these.
    """
    from scipy.spatial.transform import Rotation

    name = group.upper()
    if not re.fullmatch(r"[CD][1-9]\d*|O|I1", name):
        raise ValueError(f"the symmetry must be {GROUPS}, not {group!r}")
    return np.asarray(Rotation.create_group("I" if name == "I1" else name).as_matrix())


def symmetrise(volume: Array, group: str) -> Array:
    """Average an (N, N, N) float32 map over the rotations of a point group about voxel N // 2.

    Cubic-spline interpolation; what a rotation brings in from outside the box is zero.
    """
    operations = rotations(group)
    if len(operations) == 1:
        return volume
    ndimage = _ndimage(volume)
    xp = array_module(volume)
    coefficients = ndimage.spline_filter(volume, order=3, output=np.float32)
    centre = np.full(3, volume.shape[0] // 2, dtype=np.float64)
    total = xp.zeros_like(volume)
    for operation in operations:
        zyx = operation[::-1, ::-1]
        total += ndimage.affine_transform(
            coefficients,
            xp.asarray(zyx),
            offset=centre - zyx @ centre,
            order=3,
            prefilter=False,
            output=np.float32,
        )
    return total / np.float32(len(operations))


def _ndimage(volume: Array):  # type: ignore[no-untyped-def]
    if array_module(volume) is np:
        import scipy.ndimage

        return scipy.ndimage
    import cupyx.scipy.ndimage

    return cupyx.scipy.ndimage
