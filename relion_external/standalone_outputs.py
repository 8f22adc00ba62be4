"""What `relion-external regularize` writes: maps, cutoffs, an FSC table, a ChimeraX script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import starfile

from plugin_core.backend import Array, to_host
from relion_external import star
from relion_external.outputs import header_label
from relion_external.volumes import Placement, write_map

_CUTOFF_COLOURS = "#0072b2:#56b4e9:#009e73:#f0e442:#d55e00"
"""Fine to coarse, distinguishable by colour-blind readers (Okabe & Ito)."""


def mean_cutoff(cutoffs: list[Array]) -> np.ndarray:
    """Mean of local cutoffs in Å, taken over spatial frequencies; 0 outside the support."""
    arrays = [to_host(cutoff) for cutoff in cutoffs]
    inside = arrays[0] > 0
    frequency = np.mean([1 / array[inside] for array in arrays], axis=0)
    mean = np.zeros_like(arrays[0])
    mean[inside] = 1 / frequency
    return mean


def write_maps(
    prefix: Path,
    volumes: list[Array],
    cutoffs: list[Array],
    voxel_size: float,
    placement: Placement,
) -> dict[str, Path]:
    """Write the regularised half-maps, their average and the cutoff map; return their paths."""
    paths = {}

    def write(suffix: str, volume: np.ndarray, what: str) -> None:
        paths[suffix] = prefix.with_name(f"{prefix.name}_{suffix}.mrc")
        write_map(paths[suffix], volume, voxel_size, header_label(what), placement)

    hosts = [to_host(volume) for volume in volumes]
    if len(hosts) > 1:
        for number, volume in enumerate(hosts, start=1):
            write(f"half{number}_regularized", volume, "REGULARISED half-map, not for FSC")
    average = np.asarray(np.mean(hosts, axis=0), dtype=np.float32)
    write("regularized", average, "non-uniform REGULARISED map, not for FSC")
    write("cutoff", mean_cutoff(cutoffs), "local resolution cutoff in Angstrom")
    return paths


def write_chimerax(prefix: Path, regularized: Path, cutoff: Path, level: float) -> Path:
    """Write a ChimeraX command file that shows the map coloured by its local cutoff.

    Parameters
    ----------
    level : float
        Contour level of the map.
    """
    path = prefix.with_name(f"{prefix.name}.cxc")
    path.write_text(
        f"# ChimeraX: open {path.name}\n"
        "close\n"
        f"open {regularized.name}\n"
        f"open {cutoff.name}\n"
        f"volume #1 level {level:.6g} step 1\n"
        "volume #2 hide\n"
        f"color sample #1 map #2 palette {_CUTOFF_COLOURS} key true\n"
        "key fontSize 18\n"
        '2dlabels text "local cutoff (Å)" xpos 0.03 ypos 0.95\n'
        "lighting soft\n"
        "view\n",
        encoding="utf-8",
    )
    return path


def write_fsc_table(prefix: Path, curves: dict[str, np.ndarray], voxel_size: float) -> Path:
    """Write FSC curves as a STAR loop, one column for each label, as relion_postprocess does."""
    shells = np.arange(len(next(iter(curves.values()))))
    frequency = shells / (2 * shells[-1] * voxel_size)
    angstrom = np.append(999, 1 / frequency[1:])  # RELION's figure for shell 0
    table = pd.DataFrame(
        {
            star.SHELL: shells,
            star.RESOLUTION: frequency,
            star.RESOLUTION_ANGSTROM: angstrom,
            **curves,
        }
    )
    path = prefix.with_name(f"{prefix.name}_fsc.star")
    starfile.write({"fsc": table}, path, overwrite=True)
    return path
