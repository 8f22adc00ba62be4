"""Time one call of the hook beside RELION's own program, on simulated arrays of chosen boxes.

    python benchmarks/speed.py --boxes 64 128 256 --repeats 3 --out DIR

Every command is run as RELION runs it, as a process of its own, in turn, so that a slow spell of
the machine hits all alike. Tables give medians and ratios to `relion_external_reconstruct`, in its
default and with --skip_gridding, and our own seconds by stage. Writes speed.md, speed.json and
speed.png to the folder after each box. What takes long (gridding, and the denoiser on a CPU) is
left out beyond --slow_up_to, and RELION's program where its memory would not suffice.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from hook_calls import write_calls
from tqdm import tqdm

from plugin_core.padded_grid import PaddedGrid
from relion_external.errors import UserError
from relion_external.network_weights import find_weights
from relion_external.outputs import history_path
from relion_external.panels import BLUE, GREEN, PURPLE, VERMILION
from relion_external.system import available_memory

MEASURED = Path(__file__).with_name("measured.py")
RELIONS_OWN = "relion_external_reconstruct"
SKIP_GRIDDING = f"{RELIONS_OWN} --skip_gridding"
RELIONS_BYTES_PER_VOXEL = 320  # of the map, at padding 2: 5.3 GB measured at box 256

METHODS = {
    "uniform": ["--method", "uniform"],
    "nonuniform, split-noise": [],
    "nonuniform, cross-half": ["--risk", "cross-half"],
    "denoiser": ["--method", "denoiser"],
}
"""Our rows and their options."""

SLOW = (RELIONS_OWN, "denoiser")
STAGES = ("start", "reconstruction", "other half", "regularisation", "trailing", "writing")
COLOURS = {
    RELIONS_OWN: "#000000",
    SKIP_GRIDDING: "#666666",
    **dict(zip(METHODS, (GREEN, VERMILION, BLUE, PURPLE), strict=True)),
}


@dataclass(frozen=True)
class Run:
    """One process: seconds, bytes, and seconds by stage where it is ours."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    read_bytes: int
    stages: dict[str, float]


@dataclass(frozen=True)
class Timing:
    """One command at one box: medians over the runs, and the largest peak memory."""

    box: int
    command: str
    repeats: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    read_bytes: int
    stages: dict[str, float]


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if shutil.which(RELIONS_OWN) is None:
        print(f"{RELIONS_OWN} is not on the PATH: no ratios")
    missing = why_no_denoiser()
    if missing:
        print(f"no denoiser: {missing}")
        del METHODS["denoiser"]
    timings: list[Timing] = []
    for box in args.boxes:
        timings += time_box(box, args)
        (args.out / "speed.json").write_text(json.dumps([asdict(t) for t in timings], indent=1))
        (args.out / "speed.md").write_text(report(timings, args))
        draw(timings, args.out / "speed.png")
    print(report(timings, args))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--padding", type=float, default=2)
    parser.add_argument(
        "--measured",
        type=float,
        default=1,
        help="last measured shell as a fraction of Nyquist (default: %(default)g)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--slow_up_to",
        type=int,
        default=128,
        metavar="BOX",
        help=f"largest box for {' and '.join(SLOW)} (default: %(default)s)",
    )
    parser.add_argument("--j", type=int, default=len(os.sched_getaffinity(0)), help="threads")
    parser.add_argument("--gpu", default="auto")
    parser.add_argument("--out", type=Path, default=Path("speed"))
    return parser.parse_args()


def time_box(box: int, args: argparse.Namespace) -> list[Timing]:
    folder = args.out / f"box_{box}"
    grid = PaddedGrid(box, args.padding, int(args.measured * (box // 2)))
    try:
        lines = commands(write_calls(grid, folder), box, args)
        runs: dict[str, list[Run]] = {name: [] for name in lines}
        for _ in tqdm(range(args.repeats), desc=f"box {box}", unit="round"):
            for name, line in lines.items():
                runs[name].append(run(line, folder, args.out / "commands.log"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        Timing(
            box=box,
            command=name,
            repeats=len(each),
            wall_s=median(each, lambda r: r.wall_s),
            cpu_s=median(each, lambda r: r.cpu_s),
            peak_bytes=max(r.peak_bytes for r in each),
            read_bytes=int(median(each, lambda r: r.read_bytes)),
            stages={
                stage: median(each, lambda r, s=stage: r.stages[s]) for stage in each[0].stages
            },
        )
        for name, each in runs.items()
    ]


def commands(star: Path, box: int, args: argparse.Namespace) -> dict[str, list[str]]:
    """Name and command line of everything that can be run here at this box."""
    ours = [sys.executable, "-m", "relion_external", "reconstruct"]
    ours += ["--j", str(args.j), "--gpu", args.gpu]
    lines: dict[str, list[str]] = {}
    if RELIONS_BYTES_PER_VOXEL * box**3 > available_memory():
        print(f"box {box}: {RELIONS_OWN} needs more memory than there is, left out")
    elif shutil.which(RELIONS_OWN):
        lines[RELIONS_OWN] = [RELIONS_OWN, str(star)]
        lines[SKIP_GRIDDING] = [RELIONS_OWN, str(star), "--skip_gridding"]
    lines |= {name: [*ours, *options, str(star)] for name, options in METHODS.items()}
    return {
        name: line for name, line in lines.items() if name not in SLOW or box <= args.slow_up_to
    }


def why_no_denoiser() -> str | None:
    """What the denoiser lacks here."""
    if find_spec("torch") is None:
        return "PyTorch is not installed"
    try:
        find_weights(None)
    except UserError as error:
        return str(error)
    return None


def run(command: Sequence[str], folder: Path, log_path: Path) -> Run:
    """Run a command to its end; what it took comes from the system and from our own history."""
    history, took = history_path(folder / "run"), folder / "took.json"
    history.unlink(missing_ok=True)
    with log_path.open("a") as log:
        status = subprocess.call(
            [sys.executable, "-I", "-S", MEASURED, took, *command], stdout=log, stderr=log
        )
    if status:
        sys.exit(f"failed: {' '.join(command)}; see {log_path}")
    measured = json.loads(took.read_text())
    stages: dict[str, float] = {}
    if history.exists():
        entry = json.loads(history.read_text())
        stages = {"start": measured["wall_s"] - entry["seconds"], **entry["stages"]}
    return Run(**measured, stages=stages)


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(each) for each in runs)


def report(timings: Sequence[Timing], args: argparse.Namespace) -> str:
    """Markdown: the two tables, and the machine."""
    cores = len(os.sched_getaffinity(0))
    return "\n".join(
        [
            *whole_table(timings),
            "",
            *stage_table(timings),
            "",
            f"Padding {args.padding:g}, measured up to {args.measured:g} of Nyquist; particle "
            f"diameter 0.7 of the box. {platform.machine()}, {cores} cores, {args.j} threads, "
            f"--gpu {args.gpu}, Python {platform.python_version()}; medians of "
            f"{timings[0].repeats} runs in turn, process start included.",
            "",
        ]
    )


def whole_table(timings: Sequence[Timing]) -> list[str]:
    lines = [
        "| box | command | seconds | CPU s | GB read | peak memory, GB | time / RELION's | "
        "time / RELION's --skip_gridding |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for timing in timings:
        wall_s = {t.command: t.wall_s for t in timings if t.box == timing.box}
        ratios = [
            f"{timing.wall_s / wall_s[own]:.2f}" if own in wall_s else ""
            for own in (RELIONS_OWN, SKIP_GRIDDING)
        ]
        lines.append(
            f"| {timing.box} | {timing.command} | {timing.wall_s:.2f} | {timing.cpu_s:.2f} | "
            f"{timing.read_bytes / 1e9:.2f} | {timing.peak_bytes / 1e9:.2f} | "
            f"{' | '.join(ratios)} |"
        )
    return lines


def stage_table(timings: Sequence[Timing]) -> list[str]:
    ours = [timing for timing in timings if timing.stages]
    names = [name for name in STAGES if any(name in timing.stages for timing in ours)]
    lines = [f"| box | seconds | {' | '.join(names)} |", "|" + "---|" * (2 + len(names))]
    for timing in ours:
        seconds = [f"{timing.stages[name]:.2f}" if name in timing.stages else "" for name in names]
        lines.append(f"| {timing.box} | {timing.command} | {' | '.join(seconds)} |")
    return lines


def draw(timings: Sequence[Timing], path: Path) -> None:
    """Seconds and peak memory against the box."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    boxes = sorted({timing.box for timing in timings})
    for command, colour in COLOURS.items():
        mine = sorted((t for t in timings if t.command == command), key=lambda t: t.box)
        style = "--" if command.startswith(RELIONS_OWN) else "-"
        drawn = {"color": colour, "marker": "o", "markersize": 4, "linestyle": style}
        if mine:
            box = [t.box for t in mine]
            left.plot(box, [t.wall_s for t in mine], label=command, **drawn)
            right.plot(box, [t.peak_bytes / 1e9 for t in mine], **drawn)
    for axis, label in ((left, "seconds for one call"), (right, "peak memory, GB")):
        axis.set(xscale="log", yscale="log", xlabel="box, voxels", ylabel=label)
        axis.set_xticks(boxes, [str(box) for box in boxes])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
