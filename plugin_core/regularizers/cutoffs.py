"""Maps of local cutoffs: the figures they are summed up by, and where they end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import shell_to_angstrom
from plugin_core.regularizers.interface import Regularized
from plugin_core.spectral_trailing import trail


def cutoff_percentiles(cutoff_angstrom: Array) -> dict[str, float]:
    """Percentiles in Å of a map of local cutoffs; the 5th is the finest, the 95th the coarsest.

    Parameters
    ----------
    cutoff_angstrom : (N, N, N) float32
        0 outside the support: what is there does not count.
    """
    inside = cutoff_angstrom[cutoff_angstrom > 0]
    finest, median, coarsest = (
        float(q) for q in array_module(inside).percentile(inside, (5, 50, 95))
    )
    return {
        "cutoff_median_angstrom": round(median, 3),
        "cutoff_5th_percentile_angstrom": round(finest, 3),
        "cutoff_95th_percentile_angstrom": round(coarsest, 3),
    }


def trail_regularized(found: Regularized, shell: int, voxel_size: float) -> Regularized:
    """Cut a regularised map at `shell`, and its local cutoffs with it.

    Parameters
    ----------
    found : Regularized
    shell : int
        See :func:`plugin_core.spectral_trailing.trailing_shell`.
    voxel_size : float
        In Å.

    Returns
    -------
    Regularized
        No cutoff in its map and in its summary is finer than the resolution of `shell`.
    """
    volume, cutoff, summary = trail(found.volume, shell), found.cutoff_angstrom, found.summary
    if cutoff is not None:
        xp = array_module(cutoff)
        end = np.float32(shell_to_angstrom(shell, volume.shape[0], voxel_size))
        cutoff = xp.where(cutoff > 0, xp.maximum(cutoff, end), np.float32(0))
        summary = summary | cutoff_percentiles(cutoff)
    return replace(found, volume=volume, cutoff_angstrom=cutoff, summary=summary)
