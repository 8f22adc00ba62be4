"""Write the files of one hook call as RELION would, from simulated arrays."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import starfile

from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators
from relion_external import star


def write_call(
    folder: Path,
    name: str,
    arrays: Accumulators,
    grid: PaddedGrid,
    *,
    tau2: np.ndarray,
    fsc: np.ndarray,
    voxel_size: float | None,
    particle_diameter: float | None,
) -> Path:
    """Write the arrays and the STAR file of a call, and return the STAR file's path.

    Parameters
    ----------
    folder : Path
        RELION's output folder; paths in the STAR file start with it.
    name : str
        Such as ``run_it005_half1_class001``.
    arrays, grid
        See :mod:`plugin_core.simulation.accumulators`.
    tau2, fsc : (N // 2 + 1,) float64
    voxel_size, particle_diameter : float or None
        In Å; None leaves the label out, as RELION before 4.0.1 does.
    """
    root = folder / f"{name}_external_reconstruct"
    general: dict[str, object] = {}
    for label, part, values in (
        (star.DATA_REAL, "data_real", arrays.data_real),
        (star.DATA_IMAG, "data_imag", arrays.data_imag),
        (star.WEIGHT, "weight", arrays.weight),
    ):
        path = folder / f"{root.name}_{part}.mrc"
        mrcfile.write(path, values, overwrite=True)
        general[label] = str(path)
    general |= {
        star.RESULT: f"{root}.mrc",
        star.RESULT_STAR: f"{root}_out.star",
        star.TAU2_FUDGE: 1.0,
        star.PADDING: grid.padding,
        star.REFERENCE_DIMENSION: 3,
        star.BOX: grid.box,
        star.CURRENT_SIZE: 2 * grid.max_shell,
    }
    if voxel_size is not None:
        general[star.PIXEL_SIZE] = voxel_size
    if particle_diameter is not None:
        general[star.PARTICLE_DIAMETER] = particle_diameter
    spectra = pd.DataFrame(
        {"rlnSpectralIndex": np.arange(len(tau2)), star.TAU2: tau2, star.FSC: fsc}
    )
    path = Path(f"{root}.star")
    blocks = {star.GENERAL: general, star.SPECTRA: spectra}
    starfile.write(blocks, path, overwrite=True, float_format="%.6e")  # tau2 may be tiny
    return path
