"""MRC files in and out, through mrcfile."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from relion_external.damaged_mrc import not_finite, unreadable
from relion_external.errors import UserError

log = logging.getLogger(__name__)

VOXEL_SIZE_TOLERANCE = 0.01
"""Relative difference of voxel sizes up to which a mask may be of the same map."""


@dataclass(frozen=True)
class Placement:
    """Where a map lies, as its MRC header says it.

    Attributes
    ----------
    origin : tuple of float
        Header origin (x, y, z) in Å.
    start : tuple of int
        Header start indices (x, y, z).
    """

    origin: tuple[float, float, float]
    start: tuple[int, int, int]


AT_ORIGIN = Placement((0.0, 0.0, 0.0), (0, 0, 0))
"""Placement of all of RELION's maps."""


def map_array(
    path: Path, shape: tuple[int, ...], wanted_by: str = "the STAR file asks for"
) -> np.ndarray:
    """Memory-map an MRC file without reading it.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Shape in (z, y, x) order that the file must have.
    wanted_by : str
        Why it must, for the error.

    Returns
    -------
    numpy.memmap of that shape, float32

    Raises
    ------
    UserError
        If the file is missing, truncated, not MRC, not float32, or of another shape.
    """
    found = _open(path)
    if found.shape != shape:
        raise UserError(
            f"{path} has {_dimensions(found.shape)} values, but {wanted_by} "
            f"{_dimensions(shape)} (z, y, x)"
        )
    if found.dtype != np.float32:
        raise UserError(f"{path} holds {found.dtype} values, expected 32-bit reals (MRC mode 2)")
    return found


def read_map(path: Path, box: int) -> np.ndarray:
    """Read a (box, box, box) map as float32; UserError if that fails, or a value is not finite."""
    volume = np.array(map_array(path, (box, box, box)))
    require_finite(path, volume)
    return volume


def read_mask(path: Path, box: int, voxel_size: float | None = None) -> np.ndarray:
    """Read a soft mask of `box` voxels a side; UserError if it leaves [0, 1] or nothing inside.

    Where the `voxel_size` of the map in Å is given, one that differs in the mask's header is warned
    of: the mask may be of another map.
    """
    mask = np.array(map_array(path, (box, box, box), "the map to be masked has"))
    require_finite(path, mask)
    if not (mask.min() >= -1e-3 and 0.5 < mask.max() <= 1 + 1e-3):
        raise UserError(
            f"{path} has values from {mask.min():.4g} to {mask.max():.4g}; "
            "expected a mask from 0 to 1"
        )
    if voxel_size is not None:
        _warn_of_voxel_size(path, voxel_size)
    return np.clip(mask, 0, 1)


def require_finite(path: Path, values: np.ndarray) -> None:
    """Raise UserError if any of the values read from `path` is not finite."""
    count = values.size - int(np.isfinite(values).sum())
    if count:
        raise not_finite(path, count, values.size)


def write_map(
    path: Path,
    volume: np.ndarray,
    voxel_size: float,
    label: str,
    placement: Placement = AT_ORIGIN,
) -> None:
    """Write a map so that `path` is either whole and checked, or as it was before.

    Parameters
    ----------
    path : Path
    volume : (N, N, N) float32
    voxel_size : float
        In Å.
    label : str
        What the map is, for the MRC header; 80 characters at most.
    placement : Placement
        Where the map lies, so that it is shown on top of the one it was made from.

    Raises
    ------
    UserError
        If the map has values that are not finite, or the file cannot be written.
    """
    if not np.isfinite(volume.sum(dtype=np.float64)):
        raise UserError(f"{path} was not written: the map has values that are not finite")
    temporary = temporary_name(path)
    try:
        _write(temporary, volume, voxel_size, label, placement)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder for outputs and those above it, where missing; UserError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}") from error


def temporary_name(path: Path) -> Path:
    """Name under which `path` is written before it is complete."""
    return path.with_name(path.name + ".tmp")


def _write(
    path: Path, volume: np.ndarray, voxel_size: float, label: str, placement: Placement
) -> None:
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(volume, dtype=np.float32))
        mrc.voxel_size = voxel_size
        mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = placement.origin
        mrc.nstart = placement.start
        mrc.add_label(label)
    written = _open(path)
    if written.shape != volume.shape or not np.array_equal(written[-1], volume[-1]):
        raise OSError(f"read back {_dimensions(written.shape)} values that differ from the map's")


def _open(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Cell sizes of zero and the like: RELION's headers of the arrays mean nothing.
            warnings.simplefilter("ignore")
            return mrcfile.mmap(path, mode="r").data
    except FileNotFoundError:
        raise UserError(f"{path} does not exist (working directory: {Path.cwd()})") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _warn_of_voxel_size(path: Path, expected: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.open(path, header_only=True, permissive=True) as mrc:
            found = float(mrc.voxel_size.x)
    # A header may well not tell, by a size of 0 or not a number.
    if found > 0 and abs(found / expected - 1) > VOXEL_SIZE_TOLERANCE:
        log.warning(
            "%s has voxels of %.4g Å, the map to be masked of %.4g Å: is it the right mask?",
            path,
            found,
            expected,
        )


def _dimensions(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
