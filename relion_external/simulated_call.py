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
    arrays: Accumulators | None,
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
        See :mod:`plugin_core.simulation.accumulators`. None if the files, whose names
        :func:`array_paths` gives, are written by other means.
    tau2, fsc : (N // 2 + 1,) float64
    voxel_size, particle_diameter : float or None
        In Å; None leaves the label out, as RELION before 4.0.1 does.
    """
    root = folder / f"{name}_external_reconstruct"
    paths = array_paths(folder, name)
    if arrays is not None:
        for path, values in zip(
            paths, (arrays.data_real, arrays.data_imag, arrays.weight), strict=True
        ):
            mrcfile.write(path, values, overwrite=True)
    labels = (star.DATA_REAL, star.DATA_IMAG, star.WEIGHT)
    general: dict[str, object] = {
        label: str(path) for label, path in zip(labels, paths, strict=True)
    }
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


def array_paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Files of the data (real, imaginary) and of the weights of the call `name`."""
    real, imag, weight = (
        folder / f"{name}_external_reconstruct_{part}.mrc"
        for part in ("data_real", "data_imag", "weight")
    )
    return real, imag, weight
