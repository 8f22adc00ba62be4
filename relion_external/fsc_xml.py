"""FSC curves as the EMDB takes them, in the form that relion_postprocess writes."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from relion_external.errors import UserError
from relion_external.volumes import temporary_name

_ORIGIN_ANGSTROM = 999.0  # RELION's stand-in for the infinite resolution of shell 0


def write_fsc_xml(path: Path, fsc: np.ndarray, box: int, voxel_size: float, title: str) -> None:
    """Write one curve; `path` is either whole or as it was before.

    Parameters
    ----------
    path : Path
    fsc : (N // 2 + 1,) float64
        The shell is the index.
    box : int
        Voxels a side, N.
    voxel_size : float
        In Å.
    title : str
        What the curve is, such as ``masked-corrected FSC``.

    Raises
    ------
    UserError
        If the curve has values that are not finite, or the file cannot be written.
    """
    if not np.isfinite(fsc).all():
        raise UserError(f"{path} was not written: the FSC has values that are not finite")
    temporary = temporary_name(path)
    try:
        temporary.write_text(_fsc_xml(fsc, box, voxel_size, title), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _fsc_xml(fsc: np.ndarray, box: int, voxel_size: float, title: str) -> str:
    frequency = np.arange(len(fsc)) / (box * voxel_size)
    frequency[0] = 1 / _ORIGIN_ANGSTROM
    axes = 'xaxis="Resolution (A-1)" yaxis="Correlation Coefficient"'
    lines = [f"<fsc title={quoteattr(title)} {axes}>"]
    for x, y in zip(frequency, fsc, strict=True):
        lines += ["  <coordinate>", f"    <x>{x:g}</x>", f"    <y>{y:g}</y>", "  </coordinate>"]
    return "\n".join([*lines, "</fsc>", ""])
