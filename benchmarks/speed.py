"""Time one call of the hook beside RELION's own program, on simulated arrays of a chosen box.

    python benchmarks/speed.py --boxes 64 128 256 --repeats 3 --out /tmp/speed

Every command is run as RELION runs it, as a process of its own, in turn, so that a slow spell of
the machine hits all alike; the table gives medians, ratios to `relion_external_reconstruct` in its
default, and the largest peak memory. Writes speed.md and speed.json to the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from plugin_core.fourier import apply_radial, butterworth, irfftn, radii, rfftn, shell_power
from plugin_core.masks import soft_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.simulation.accumulators import accumulate
from relion_external.simulated_call import write_call

VOXEL_SIZE = 1.2
RELIONS_OWN = "relion_external_reconstruct"


@dataclass(frozen=True)
class Timing:
    """One command at one box: median wall-clock and CPU seconds, largest peak memory."""

    box: int
    command: str
    wall_s: float
    cpu_s: float
    peak_bytes: int
    repeats: int


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    timings = []
    for box in args.boxes:
        timings += time_box(box, args)
        (args.out / "speed.json").write_text(json.dumps([asdict(t) for t in timings], indent=1))
        (args.out / "speed.md").write_text(table(timings))
    print(table(timings))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--padding", type=float, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--j", type=int, default=len(os.sched_getaffinity(0)), help="threads")
    parser.add_argument("--gpu", default="auto")
    parser.add_argument("--out", type=Path, default=Path("speed"))
    return parser.parse_args()


def commands(star: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """Name and command line of everything that is timed and can be run here."""
    ours = [sys.executable, "-m", "relion_external", "reconstruct", str(star)]
    ours += ["--j", str(args.j), "--gpu", args.gpu]
    lines = {
        "uniform": [*ours, "--method", "uniform"],
        "nonuniform, split-noise": ours,
        "nonuniform, cross-half": [*ours, "--risk", "cross-half"],
    }
    if shutil.which(RELIONS_OWN):
        plain = [RELIONS_OWN, str(star)]
        lines = {
            RELIONS_OWN: plain,
            f"{RELIONS_OWN} --skip_gridding": [*plain, "--skip_gridding"],
        } | lines
    return lines


def time_box(box: int, args: argparse.Namespace) -> list[Timing]:
    folder = args.out / f"box_{box}"
    lines = commands(write_calls(box, args.padding, folder), args)
    runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in lines}
    for _ in tqdm(range(args.repeats), desc=f"box {box}", unit="round"):
        for name, line in lines.items():
            runs[name].append(run(line, args.out))
    shutil.rmtree(folder)
    return [
        Timing(
            box=box,
            command=name,
            wall_s=statistics.median(wall for wall, _, _ in each),
            cpu_s=statistics.median(cpu for _, cpu, _ in each),
            peak_bytes=max(peak for _, _, peak in each),
            repeats=len(each),
        )
        for name, each in runs.items()
    ]


def run(command: list[str], folder: Path) -> tuple[float, float, int]:
    """Run a command; return wall-clock seconds, CPU seconds and peak memory in bytes."""
    with (folder / "commands.log").open("a") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    if status:
        sys.exit(f"failed: {' '.join(command)}; see {folder / 'commands.log'}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def write_calls(box: int, padding: float, folder: Path) -> Path:
    """Write both half-sets' calls of a phantom measured to Nyquist; return half 1's STAR file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    grid = PaddedGrid(box, padding, box // 2)
    shells = np.arange(box // 2 + 1)
    weight = 3 * np.exp(-6 * shells / box)
    volume = phantom(box, rng)
    noise = 2 * float(box) ** 4 / (padding**3 * weight)
    signal = shell_power(volume, len(shells))
    fsc = signal / (signal + noise)
    fsc[0] = 1
    tau2 = fsc / np.maximum(1 - fsc, 1e-3) / (padding**3 * weight)
    stars = []
    for half in (1, 2):
        stars.append(
            write_call(
                folder,
                f"run_it003_half{half}_class001",
                accumulate(volume, grid, weight, rng),
                grid,
                tau2=tau2,
                fsc=fsc,
                voxel_size=VOXEL_SIZE,
                particle_diameter=0.7 * box * VOXEL_SIZE,
            )
        )
    return stars[0]


def phantom(box: int, rng: np.random.Generator) -> np.ndarray:
    """A ball of texture whose power falls off, fine in one half and coarse in the other."""
    texture = rfftn(rng.standard_normal((box,) * 3, dtype=np.float32))
    fall_off = np.exp(-radii(box) / (0.08 * box))
    fine = irfftn(apply_radial(texture, fall_off), box)
    coarse = irfftn(apply_radial(texture, fall_off * butterworth(radii(box), box / 10, 8)), box)
    fine[:, :, : box // 2] = coarse[:, :, : box // 2]
    volume = fine * soft_sphere(box, 0.3 * box, 4.0)
    return volume * np.float32(10 / volume.std())


def table(timings: list[Timing]) -> str:
    """Markdown table, and the machine."""
    lines = [
        "| box | command | seconds | CPU s | peak memory, GB | time / RELION's |",
        "|---|---|---|---|---|---|",
    ]
    for timing in timings:
        own = [t.wall_s for t in timings if (t.box, t.command) == (timing.box, RELIONS_OWN)]
        ratio = f"{timing.wall_s / own[0]:.2f}" if own else ""
        lines.append(
            f"| {timing.box} | {timing.command} | {timing.wall_s:.2f} | {timing.cpu_s:.2f} | "
            f"{timing.peak_bytes / 1e9:.2f} | {ratio} |"
        )
    cores = len(os.sched_getaffinity(0))
    lines.append(f"\n{platform.machine()}, {cores} cores, Python {platform.python_version()}, ")
    lines[-1] += f"medians of {timings[0].repeats} runs in turn, process start included."
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
