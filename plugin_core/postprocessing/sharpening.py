"""The map to look at: FSC-weighted, sharpened, cut at its resolution."""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import (
    apply_radial,
    irfftn,
    radii,
    raised_cosine_low_pass,
    rfftn,
    shell_table,
)
from plugin_core.fsc import joined_fsc, last_shell_above

EDGE_WIDTH = 2.0  # shells; relion_postprocess's default


def sharpened_map(average: Array, fsc: np.ndarray, voxel_size: float, b_factor: float) -> Array:
    """Sharpen the average of two raw half-maps.

    Amplitudes are multiplied by sqrt(2 FSC / (1 + FSC)), the correlation to expect with a perfect
    map, and by exp(-B / 4 · 1/d²) (Rosenthal & Henderson, J. Mol. Biol. 2003), and cut at the
    resolution at FSC 0.143 with a cosine edge of two shells.

    Parameters
    ----------
    average : (N, N, N) float32
    fsc : (N // 2 + 1,) float64
        FSC of the half-maps, corrected for the mask.
    voxel_size : float
        In Å.
    b_factor : float
        In Å²; negative sharpens.

    Returns
    -------
    (N, N, N) float32

    Raises
    ------
    ValueError
        If the FSC is below 0.143 from the first shell on.
    """
    cutoff = last_shell_above(fsc)
    if cutoff == 0:
        raise ValueError("the map cannot be sharpened: its FSC starts below 0.143")
    box = average.shape[0]
    radius, shell = radii(box), shell_table(box)
    weight = np.zeros(shell[-1] + 1)  # nothing is known beyond Nyquist
    weight[: len(fsc)] = np.sqrt(joined_fsc(fsc))
    fall_off = np.exp(-b_factor / 4 * (radius / (box * voxel_size)) ** 2)
    gain = weight[shell] * fall_off * raised_cosine_low_pass(radius, cutoff, EDGE_WIDTH)
    return irfftn(apply_radial(rfftn(average), gain), box)
