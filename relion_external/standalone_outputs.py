"""What `relion-external regularize` writes: maps, cutoffs, an FSC table, a ChimeraX script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import starfile

from plugin_core.backend import Array, to_host
from relion_external import star
from relion_external.fsc_xml import write_fsc_xml
from relion_external.half_map_figures import HalfMapFigures
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
    cutoffs: Sequence[Array | None],
    voxel_size: float,
    placement: Placement,
    word: str = "REGULARISED",
) -> dict[str, Path]:
    """Write the regularised half-maps, their average and the cutoff map; return their paths.

    `word` is what their labels call them. Without cutoffs (None) there is no map of them.
    """
    paths = {}

    def write(suffix: str, volume: np.ndarray, what: str) -> None:
        paths[suffix] = prefix.with_name(f"{prefix.name}_{suffix}.mrc")
        write_map(paths[suffix], volume, voxel_size, header_label(what), placement)

    hosts = [to_host(volume) for volume in volumes]
    if len(hosts) > 1:
        for number, volume in enumerate(hosts, start=1):
            write(f"half{number}_regularized", volume, f"{word} half-map, not for FSC")
    average = np.asarray(np.mean(hosts, axis=0), dtype=np.float32)
    write("regularized", average, f"{word} map, not for FSC")
    known = [cutoff for cutoff in cutoffs if cutoff is not None]
    if known:
        write("cutoff", mean_cutoff(known), "local resolution cutoff in Angstrom")
    return paths


def write_chimerax(prefix: Path, regularized: Path, cutoff: Path | None, level: float) -> Path:
    """Write a ChimeraX command file that shows the map, coloured by its local cutoff if known.

    Parameters
    ----------
    level : float
        Contour level of the map.
    """
    path = prefix.with_name(f"{prefix.name}.cxc")
    commands = [
        f"# ChimeraX: open {path.name}",
        "close",
        f"open {regularized.name}",
        f"volume #1 level {level:.6g} step 1",
    ]
    if cutoff is not None:
        commands += [
            f"open {cutoff.name}",
            "volume #2 hide",
            f"color sample #1 map #2 palette {_CUTOFF_COLOURS} key true",
            "key fontSize 18",
            '2dlabels text "local cutoff (Å)" xpos 0.03 ypos 0.95',
        ]
    commands += ["lighting soft", "view"]
    path.write_text("\n".join(commands) + "\n", encoding="utf-8")
    return path


def report_paths(prefix: Path) -> tuple[Path, Path]:
    """Paths of the report as PDF and PNG."""
    return prefix.with_name(f"{prefix.name}_report.pdf"), prefix.with_name(
        f"{prefix.name}_report.png"
    )


def write_figures(prefix: Path, figures: HalfMapFigures, placement: Placement) -> None:
    """Write the mask, the sharpened map, and the FSC as a STAR table and as the EMDB's XML."""
    fsc = figures.fsc

    def write(suffix: str, volume: Array, what: str) -> None:
        path = prefix.with_name(f"{prefix.name}_{suffix}.mrc")
        write_map(path, to_host(volume), fsc.voxel_size, header_label(what), placement)

    write("mask", figures.mask, "soft mask of the masked FSC")
    if figures.sharpened is not None and figures.b_factor is not None:
        what = f"raw average, FSC-weighted, B-factor {figures.b_factor.b_factor:.0f} A^2"
        write("sharpened", figures.sharpened, what)
    write_fsc_table(prefix.with_name(f"{prefix.name}_fsc.star"), figures)
    write_fsc_xml(
        prefix.with_name(f"{prefix.name}_fsc.xml"),
        fsc.corrected,
        fsc.box,
        fsc.voxel_size,
        "raw half-maps, masked-corrected FSC",
    )


def write_fsc_table(path: Path, figures: HalfMapFigures) -> None:
    """Write the curves as a STAR loop in relion_postprocess's terms, the figures before it."""
    fsc = figures.fsc
    shells = np.arange(len(fsc.corrected))
    frequency = shells / (fsc.box * fsc.voxel_size)
    table = pd.DataFrame(
        {
            star.SHELL: shells,
            star.RESOLUTION: frequency,
            star.RESOLUTION_ANGSTROM: np.append(999, 1 / frequency[1:]),  # RELION's for shell 0
            star.FSC_CORRECTED: fsc.corrected,
            star.FSC_UNMASKED: fsc.unmasked,
            star.FSC_MASKED: fsc.masked,
        }
    )
    if fsc.randomised is not None:
        table[star.FSC_RANDOMISED] = fsc.randomised
    general: dict[str, float] = {star.FINAL_RESOLUTION: fsc.resolution_angstrom()}
    if figures.b_factor is not None:
        general[star.B_FACTOR] = figures.b_factor.b_factor
    starfile.write({"general": general, "fsc": table}, path, overwrite=True)
