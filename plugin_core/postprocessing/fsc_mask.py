"""The mask in which half-maps are compared, from the half-maps alone.

No regularised map has a say: one that suppresses more of the solvent would be given a tighter mask,
and with it a better resolution, for the same data.
"""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import apply_radial, irfftn, rfftn, shell_table
from plugin_core.fsc import joined_fsc, last_shell_above
from plugin_core.postprocessing.dynamic_mask import dynamic_mask


def fsc_mask(
    half1: Array, half2: Array, support: Array, fsc: np.ndarray, voxel_size: float
) -> Array:
    """Mask of the density that the average of two raw half-maps shows.

    The average is Wiener-filtered by the FSC up to where that falls below 0.143, and looked at
    within the support.

    Parameters
    ----------
    half1, half2 : (N, N, N) float32
        Raw half-maps, density positive.
    support : (N, N, N) float32
        Soft mask, 0 to 1, of where there can be density.
    fsc : (N // 2 + 1,) float64
        Of the half-maps in the support.
    voxel_size : float
        In Å.

    Returns
    -------
    (N, N, N) float32
        0 to 1, on the device of the half-maps; never above the support.

    Raises
    ------
    ValueError
        If the filtered average has no positive density in the support.
    """
    box = half1.shape[0]
    shell = shell_table(box)
    gain = np.zeros(shell[-1] + 1)
    known = last_shell_above(fsc) + 1
    gain[:known] = joined_fsc(fsc[:known])
    average = irfftn(apply_radial(rfftn((half1 + half2) / 2), gain[shell]), box)
    return dynamic_mask(average * support, voxel_size) * support
