"""Two raw half-maps from any package: found, read, and checked to be a pair."""

from __future__ import annotations

import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from relion_external.damaged_mrc import unreadable
from relion_external.errors import UserError
from relion_external.volumes import Placement, require_finite

_PARTNER_NAMES = (
    (re.compile(r"half1"), "half2"),  # RELION
    (re.compile(r"half2"), "half1"),
    (re.compile(r"half_map_1"), "half_map_2"),  # EMDB
    (re.compile(r"half_map_2"), "half_map_1"),
    (re.compile(r"half_A"), "half_B"),  # cryoSPARC
    (re.compile(r"half_B"), "half_A"),
)

PROCESSED = (REGULARISED, DENOISED) = ("REGULARISED", "DENOISED")
"""Words in the MRC labels of maps that this program has regularised."""


@dataclass(frozen=True)
class ExternalMap:
    """A map read from an MRC file of any origin.

    Attributes
    ----------
    path : Path
    volume : (N, N, N) float32
        In (z, y, x) order, whatever the order in the file.
    voxel_size : float
        In Å; 0 where the header does not tell.
    placement : Placement
        Where the map lies.
    labels : tuple of str
        Of the header.
    """

    path: Path
    volume: np.ndarray
    voxel_size: float
    placement: Placement
    labels: tuple[str, ...]


def find_partner(path: Path) -> Path | None:
    """Other half-map by the naming of RELION, the EMDB or cryoSPARC, if it is there."""
    for pattern, replacement in _PARTNER_NAMES:
        if pattern.search(path.name):
            candidate = path.with_name(pattern.sub(replacement, path.name))
            return candidate if candidate.exists() else None
    return None


def read_external_map(path: Path) -> ExternalMap:
    """Read a cubic MRC map: plain or gzipped, any axis order, any real mode.

    Raises
    ------
    UserError
        If it cannot be read, is not a cube, or its voxels are not.
    """
    try:
        header, volume = _read(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        shape = " x ".join(str(n) for n in volume.shape[::-1])
        raise UserError(f"{path} is {shape} voxels; expected a cube (pad it to one)")
    if np.iscomplexobj(volume):
        raise UserError(f"{path} holds complex values; expected the real ones of a map")
    require_finite(path, volume)
    order = [int(header.maps), int(header.mapr), int(header.mapc)]
    if sorted(order) != [1, 2, 3]:
        raise UserError(f"{path} names its axes {order}; expected a permutation of 1, 2, 3")
    volume = volume.transpose([order.index(axis) for axis in (3, 2, 1)])
    starts = dict(zip(order, (header.nzstart, header.nystart, header.nxstart), strict=True))
    origin = header.origin
    return ExternalMap(
        path=path,
        volume=np.ascontiguousarray(volume, dtype=np.float32),
        voxel_size=_voxel_size(path, header),
        placement=Placement((origin.x, origin.y, origin.z), (starts[1], starts[2], starts[3])),
        labels=tuple(label.decode("ascii", "replace") for label in header.label),
    )


def read_half_map(path: Path) -> ExternalMap:
    """Read a raw half-map.

    Raises
    ------
    UserError
        As of :func:`read_external_map`, and if the map has one value everywhere or this program
        has regularised it.
    """
    found = read_external_map(path)
    lowest, highest = found.volume.min(), found.volume.max()
    if lowest == highest:
        raise UserError(f"{path} is {lowest + 0:g} everywhere; expected a raw half-map")
    for label in found.labels:
        if label.startswith("relion-external") and any(word in label for word in PROCESSED):
            raise UserError(
                f"{path} is called {label.strip()!r} in its header; expected a raw half-map"
            )
    return found


def read_pair(path1: Path, path2: Path) -> tuple[ExternalMap, ExternalMap]:
    """Read two half-maps; UserError if they are one file, or differ in box or voxel size."""
    if path1.resolve() == path2.resolve():
        raise UserError(f"--i and --i2 are the same file, {path1}; expected two half-maps")
    half1, half2 = read_half_map(path1), read_half_map(path2)
    if half1.volume.shape != half2.volume.shape:
        raise UserError(
            f"{path1} has a box of {half1.volume.shape[0]}, {path2} of {half2.volume.shape[0]}; "
            "expected two half-maps of one box"
        )
    if not np.isclose(half1.voxel_size, half2.voxel_size, rtol=1e-3):
        raise UserError(
            f"{path1} has voxels of {half1.voxel_size:.4f} Å, {path2} of "
            f"{half2.voxel_size:.4f} Å; expected the same"
        )
    if np.array_equal(half1.volume, half2.volume):
        raise UserError(f"{path1} and {path2} hold the same map; expected two half-maps")
    return half1, half2


def _read(path: Path) -> tuple[np.recarray, np.ndarray]:
    with warnings.catch_warnings():
        # Headers of old maps deviate from the standard in ways that do no harm; what would is
        # checked by the caller.
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True) as mrc:
            if mrc.data is None:
                raise ValueError("no data were found")
            return mrc.header.copy(), np.array(mrc.data)


def _voxel_size(path: Path, header: np.recarray) -> float:
    """Edge of a voxel in Å; 0 where the header has none."""
    sampling = {"x": int(header.mx), "y": int(header.my), "z": int(header.mz)}
    edges = [float(header.cella[axis]) / max(sampling[axis], 1) for axis in "xyz"]
    if max(edges) - min(edges) > 1e-3 * max(edges):
        sizes = " x ".join(f"{edge:.4f}" for edge in edges)
        raise UserError(f"{path} has voxels of {sizes} Å; expected cubic ones (resample the map)")
    return float(np.mean(edges))
