"""How near to the truth each regulariser comes, on simulated pairs whose truth is known.

    python benchmarks/denoiser_quality.py PAIRS --weights FILE --o table.md

PAIRS is a folder that benchmarks/simulate_pairs.py made. For every entry the squared error of the
map to the truth, inside the molecule's mask and relative to the truth's own power, of: the raw
half-map, the uniform filter (times the FSC: Wiener's), the non-uniform filter (split-noise), the
bare network, and the denoiser as the program applies it (with the half-map where that is better,
and trailing), its answer given to the network again up to ten times. Also the FSC between the two
denoised halves of maps that hold nothing but the entry's noise, by the bare network.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import mrcfile
import numpy as np
from denoised import Denoiser, open_denoiser, wiener
from tqdm import tqdm

from plugin_core import noise
from plugin_core.fsc import fourier_shell_correlation, last_shell_above
from plugin_core.masks import soft_sphere
from plugin_core.regularizers import nonuniform
from plugin_core.regularizers.interface import RegularizerInput


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--o", type=Path, required=True, help="table (.md); a .csv beside it")
    parser.add_argument("--stride", type=int, default=32, help="voxels between blocks")
    parser.add_argument("--precision", default="float32")
    parser.add_argument(
        "--recycles", type=int, nargs="+", default=[1, 10], help="times the denoiser is applied"
    )
    args = parser.parse_args()
    denoiser = open_denoiser(args.weights, args.stride, args.precision)
    entries = sorted(path.parent for path in args.pairs.glob("*/entry.json"))
    rows = [measure(entry, denoiser, args.recycles) for entry in tqdm(entries, desc="entries")]
    write(rows, args.o)
    print(args.o.read_text())


def measure(entry: Path, denoiser: Denoiser, recycles: list[int]) -> dict[str, object]:
    """All figures of one entry."""
    half1, half2, truth, mask = (
        read(entry / f"{name}.mrc") for name in ("half1", "half2", "truth", "mask")
    )
    with mrcfile.open(entry / "half1.mrc", header_only=True) as header:
        voxel_size = float(header.voxel_size.x)
    box = len(half1)
    reach = np.sqrt(((np.argwhere(mask > 0.5) - box // 2) ** 2).sum(axis=1).max())
    support = soft_sphere(box, min(1.1 * reach, box / 2 - 5), 5.0)
    fsc = fourier_shell_correlation(half1 * mask, half2 * mask)
    last = last_shell_above(fsc)
    details = json.loads((entry / "entry.json").read_text())
    row: dict[str, object] = {
        "entry": entry.name,
        "family": details["family"],
        "voxel": voxel_size,
        "box": box,
        "resolution": box * voxel_size / max(last, 1),
    }

    def error(volume: np.ndarray) -> float:
        return float(
            (((volume - truth) * mask) ** 2).sum(dtype=np.float64)
            / ((truth * mask) ** 2).sum(dtype=np.float64)
        )

    row["raw"] = error(half1)
    row["uniform"] = error(wiener(half1 * support, fsc))
    row["nonuniform"] = error(locally_filtered(half1, support, fsc, voxel_size))
    volume = half1
    for times in range(1, max(recycles) + 1):
        bare = denoiser.network(volume, support, voxel_size)
        volume = denoiser.answer(bare, half1 * support, fsc, voxel_size)
        if times == 1:
            row["network"] = error(bare)
        if times in recycles:
            row[f"denoiser {times}x"] = error(volume)
    row["noise fsc"] = noise_correlation(half1, half2, support, voxel_size, denoiser, last)
    return row


def locally_filtered(
    half_map: np.ndarray, support: np.ndarray, fsc: np.ndarray, voxel_size: float
) -> np.ndarray:
    inputs = RegularizerInput(
        half_map, None, support, noise.from_fsc(half_map, support, fsc), voxel_size, len(fsc) - 1
    )
    return nonuniform.regularize(inputs, nonuniform.NonuniformParameters()).volume


def noise_correlation(
    half1: np.ndarray,
    half2: np.ndarray,
    support: np.ndarray,
    voxel_size: float,
    denoiser: Denoiser,
    last: int,
) -> float:
    """Mean FSC beyond `last` of two denoised maps of nothing but noise.

    The noise is the difference of the halves, and the same turned by half a turn about z and x,
    which makes a second field of the same spectrum whose correlation with the first is none.
    """
    difference = (half1 - half2) / np.float32(np.sqrt(2))
    other = np.roll(difference[::-1, ::-1, :], (1, 1, len(half1) // 3), (0, 1, 2))
    denoised = [
        denoiser.network(np.ascontiguousarray(v), support, voxel_size) for v in (difference, other)
    ]
    return float(
        fourier_shell_correlation(denoised[0] * support, denoised[1] * support)[last:].mean()
    )


def read(path: Path) -> np.ndarray:
    return mrcfile.read(path).astype(np.float32)


def write(rows: list[dict[str, object]], path: Path) -> None:
    names = list(rows[0])
    with path.with_suffix(".csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    figures = names[5:]
    means = [
        f"{np.exp(np.mean([np.log(row[n]) for row in rows])):.3g}"
        if n != "noise fsc"
        else f"{np.mean([row[n] for row in rows]):.3g}"
        for n in figures
    ]
    lines.append("| geometric mean (FSC: mean) | | | | | " + " | ".join(means) + " |")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
