"""Pairs of half-maps to train on: found in folders and STAR files, checked, and kept ready.

A pair is read and resampled once; what the training reads again and again are small NumPy files at
the network's voxel size.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from plugin_core.denoising.network import VOXEL_SIZE
from plugin_core.denoising.resampling import network_box, resample
from plugin_core.denoising.training.pairs import TrainingPair
from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.postprocessing.dynamic_mask import dynamic_mask
from relion_external import star
from relion_external.errors import UserError
from relion_external.half_map_pair import find_partner, read_external_map, read_pair
from relion_external.volumes import temporary_name

HALF1 = re.compile(r"(half1|half_map_1|half_A).*\.(mrc|map)(\.gz)?$")
MASK = re.compile(r"(mask|msk).*\.(mrc|map)(\.gz)?$")
TRUTH = re.compile(r"^truth\.(mrc|map)(\.gz)?$")

STAR_HALF1, STAR_HALF2 = "rlnUnfilteredMapHalf1", "rlnUnfilteredMapHalf2"
STAR_MASK = "rlnMaskName"

MASK_RESOLUTION_ANGSTROM = 15.0

LEAST_AGREEMENT = 0.45
"""Superposed halves of 4 to 14 Å had 0.64 and more (16 simulated pairs); turned or shifted, 0.33 at
most."""


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair.

    Attributes
    ----------
    name : str
        For messages and the kept file.
    half1, half2 : Path
    mask, truth : Path or None
        A missing mask is made from the half-maps; `truth` exists for simulated pairs.
    """

    name: str
    half1: Path
    half2: Path
    mask: Path | None = None
    truth: Path | None = None


def find_pairs(sources: Iterable[Path]) -> list[PairFiles]:
    """Find pairs in folders (RELION's, the EMDB's or cryoSPARC's names) and STAR files.

    Raises
    ------
    UserError
        If a source does not exist or holds no pair.
    """
    found: list[PairFiles] = []
    for source in sources:
        if not source.exists():
            raise UserError(f"--pairs: {source} does not exist")
        pairs = _in_folder(source) if source.is_dir() else _in_star(source)
        if not pairs:
            raise UserError(
                f"--pairs: {source} holds no pair of half-maps; expected two files named like "
                "*half1*.mrc, *half2*.mrc or emd_1234_half_map_1.map.gz, emd_1234_half_map_2.map.gz"
            )
        found += pairs
    return found


def _in_folder(folder: Path) -> list[PairFiles]:
    return [
        PairFiles(
            name=str(half1.parent.relative_to(folder) / half1.name),
            half1=half1,
            half2=partner,
            mask=_only(half1.parent, MASK),
            truth=_only(half1.parent, TRUTH),
        )
        for half1 in sorted(path for path in folder.rglob("*") if HALF1.search(path.name))
        if (partner := find_partner(half1)) is not None
    ]


def _only(folder: Path, pattern: re.Pattern[str]) -> Path | None:
    """Return the file of that kind in a folder; None if there is none, or a choice of them."""
    found = [path for path in folder.iterdir() if pattern.search(path.name)]
    return found[0] if len(found) == 1 else None


def _in_star(path: Path) -> list[PairFiles]:
    """Pairs listed in the first loop of a STAR file; relative names are as RELION's, to the cwd."""
    import pandas as pd

    tables = [t for t in star.read_blocks(path).values() if isinstance(t, pd.DataFrame)]
    if not tables or not {STAR_HALF1, STAR_HALF2} <= set(tables[0].columns):
        raise UserError(f"{path} has no loop with the columns _{STAR_HALF1} and _{STAR_HALF2}")
    return [
        PairFiles(
            name=str(row[STAR_HALF1]),
            half1=Path(row[STAR_HALF1]),
            half2=Path(row[STAR_HALF2]),
            mask=Path(row[STAR_MASK]) if STAR_MASK in row else None,
        )
        for row in tables[0].to_dict("records")
    ]


def _load(files: PairFiles) -> list[np.ndarray]:
    """Read a pair, check it and bring it to the network's voxel size.

    Returns
    -------
    list of (N, N, N) float32
        Half-maps, mask, and the truth if there is one.

    Raises
    ------
    UserError
        If the half-maps differ in box or voxel size or do not agree at low resolution, or if the
        mask or the truth does not fit them.
    """
    half1, half2 = read_pair(files.half1, files.half2)
    if half1.voxel_size <= 0:
        raise UserError(f"{files.half1} does not tell its voxel size; set it in the header")
    box, voxel_size = half1.volume.shape[0], half1.voxel_size
    mask = (
        _fitting(files.mask, box)
        if files.mask
        else _made_mask(half1.volume, half2.volume, voxel_size)
    )
    agreement = _agreement(half1.volume * mask, half2.volume * mask, voxel_size)
    if agreement < LEAST_AGREEMENT:
        raise UserError(
            f"{files.half1} and {files.half2} are no pair to train on: their mean FSC from 40 to "
            f"20 Å is {agreement:.2f}, expected {LEAST_AGREEMENT} at least (are they superposed?)"
        )
    maps = [half1.volume, half2.volume, mask]
    if files.truth:
        maps.append(_fitting(files.truth, box))
    wanted = network_box(box, voxel_size, VOXEL_SIZE)
    return [resample(torch.from_numpy(volume), wanted).numpy() for volume in maps]


def keep_pair(files: PairFiles, folder: Path) -> Path:
    """Prepare a pair in `folder` unless it is there already, and return the file that holds it.

    The file is NumPy's, (3 or 4, N, N, N) float16: both half-maps over their standard deviation,
    the mask, and the truth, if any, on the half-maps' scale.
    """
    path = folder / f"{_fingerprint(files)}.npy"
    if not path.exists():
        half1, half2, mask, *truth = _load(files)
        scale = 1 / np.std((half1, half2), dtype=np.float64)
        maps = [half1 * scale, half2 * scale, np.clip(mask, 0, 1)]
        maps += [volume * scale for volume in truth]
        temporary = temporary_name(path)
        with temporary.open("wb") as file:
            np.save(file, np.stack(maps).astype(np.float16))
        os.replace(temporary, path)
    return path


def read_kept(path: Path) -> TrainingPair:
    """Read a pair that :func:`keep_pair` prepared."""
    half1, half2, mask, *truth = np.load(path).astype(np.float32)
    return TrainingPair.of_half_maps(half1, half2, mask, truth[0] if truth else None)


def _fingerprint(files: PairFiles) -> str:
    """Name that changes when any of the files does."""
    seen: list[object] = [VOXEL_SIZE]
    for path in (files.half1, files.half2, files.mask, files.truth):
        if path is not None:
            status = path.stat()
            seen.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:24]


def _fitting(path: Path, box: int) -> np.ndarray:
    volume = read_external_map(path).volume
    if volume.shape[0] != box:
        raise UserError(f"{path} has a box of {volume.shape[0]}; its half-maps have {box}")
    return volume


def _agreement(half1: np.ndarray, half2: np.ndarray, voxel_size: float) -> float:
    """Mean FSC from 40 to 20 Å, where halves of any use agree if they are superposed."""
    fsc = fourier_shell_correlation(half1, half2)
    extent = half1.shape[0] * voxel_size
    first, last = (min(round(extent / resolution), len(fsc) - 1) for resolution in (40, 20))
    return float(fsc[first : last + 1].mean())


def _made_mask(half1: np.ndarray, half2: np.ndarray, voxel_size: float) -> np.ndarray:
    """Make a mask of the density that stands out of the average at 15 Å."""
    box = half1.shape[0]
    cutoff = box * voxel_size / MASK_RESOLUTION_ANGSTROM
    low_pass = raised_cosine_low_pass(radii(box), cutoff, edge_width=2.0)
    smooth = irfftn(apply_radial(rfftn(half1 + half2), low_pass), box)
    return dynamic_mask(smooth, voxel_size)
