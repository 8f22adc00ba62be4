"""Measure how well particles align, refined with and without the local regulariser.

Simulates a noisy membrane protein (a rigid protein in a detergent belt that differs from particle
to particle), starts poses some degrees off, refines with the real `relion_refine_mpi` and compares
the poses of every iteration with the true ones:

    python benchmarks/pose_accuracy.py --out /tmp/pose_accuracy --seeds 2 3 \
        --options "" --options "--awf 1.5"

Rows are RELION without a hook, RELION's own `relion_external_reconstruct` as the hook, and
`relion-external reconstruct` with each string of `--options` ("" is its defaults). Finished runs
are kept in the folder and not repeated: remove a run's folder after a change of the code. Writes
pose_accuracy.md, .json and .png there. A run takes about six minutes on two free cores.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from relion_external import hook_variable
from relion_external.progress import progress_bar
from relion_external.refinement import IterationResult, RefinementOptions, refine
from relion_external.simulated_set import SimulatedSet, SimulationOptions, write_simulated_set

COLOURS = ["#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
HEAVY_FILES = ("run_*_external_reconstruct_*.mrc", "run_*.bild")


@dataclass(frozen=True)
class Row:
    """A way to refine: its name in the table and the hook's command (None for no hook)."""

    name: str
    hook: str | None

    @property
    def folder_name(self) -> str:
        """Name of the folder of its runs."""
        return re.sub(r"[^A-Za-z0-9.]+", "_", self.name).strip("_")


@dataclass(frozen=True)
class Run:
    """One finished refinement."""

    row: str
    seed: int
    iterations: list[IterationResult]

    def errors(self) -> list[float]:
        """Median angular error in degrees by iteration, the start first."""
        return [result.angular_error for result in self.iterations]


def main() -> None:
    args = parse_arguments()
    rows = [] if args.only_options else [Row("RELION, no hook", None)]
    if not args.only_options:
        rows.append(Row("relion_external_reconstruct", "relion_external_reconstruct"))
    for text in args.options:
        hook = hook_variable.command(shlex.split(text))
        rows.append(Row(f"relion-external {text}".strip(), hook))

    runs = []
    for seed in args.seeds:
        simulation = SimulationOptions(
            particles=args.particles, box=args.box, signal_to_noise=args.snr, seed=seed
        )
        simulated = simulate(args.out / f"seed_{seed}" / "particles", simulation)
        options = RefinementOptions(
            particle_diameter=args.diameter,
            iterations=args.iterations,
            padding=args.padding,
            seed=seed,
        )
        for row in rows:
            folder = args.out / f"seed_{seed}" / row.folder_name
            runs.append(finished_run(folder, row, simulated, simulation, options, args.keep))
            report(args.out, runs)
    print((args.out / "pose_accuracy.md").read_text())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for sets, runs and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--options", action="append", default=[], help="of the hook; repeatable")
    parser.add_argument("--only_options", action="store_true", help="leave RELION's own rows out")
    parser.add_argument("--particles", type=int, default=3000)
    parser.add_argument("--box", type=int, default=96)
    parser.add_argument("--snr", type=float, default=0.008, help="variance ratio per image")
    parser.add_argument("--diameter", type=float, default=184.0, help="of RELION's mask, in Å")
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--padding", type=int, default=1, choices=(1, 2))
    parser.add_argument("--keep", action="store_true", help="keep RELION's arrays (5 MB each)")
    return parser.parse_args()


def simulate(folder: Path, options: SimulationOptions) -> SimulatedSet:
    """The set in `folder`, made only if it is not there yet with these very options."""
    record, wanted = folder / "options.json", json.dumps(asdict(options), indent=1)
    if not (record.exists() and record.read_text() == wanted):
        with progress_bar(options.particles, f"simulating seed {options.seed}", "image") as bar:
            write_simulated_set(folder, options, lambda done, _: bar.update(done - bar.n))
        record.write_text(wanted)
    return SimulatedSet(folder)


def finished_run(
    folder: Path,
    row: Row,
    simulated: SimulatedSet,
    simulation: SimulationOptions,
    options: RefinementOptions,
    keep: bool,
) -> Run:
    """The run in `folder`, made only if it is not there yet with these very options."""
    record = folder / "result.json"
    wanted = json.loads(json.dumps([asdict(row), asdict(simulation), asdict(options)]))
    if record.exists():
        stored = json.loads(record.read_text())
        if stored["made_with"] == wanted:
            iterations = [IterationResult(**values) for values in stored["iterations"]]
            return Run(row.name, simulation.seed, iterations)
    title = f"seed {simulation.seed}, {row.name}"
    with progress_bar(options.iterations, title, "iteration") as bar:

        def show(result: IterationResult) -> None:
            resolution = f", RELION says {result.resolution:.1f} Å" if result.resolution else ""
            bar.set_postfix_str(f"{result.angular_error:.2f} degrees off{resolution}", False)
            bar.update(result.iteration - bar.n)

        iterations = refine(simulated, folder, options, row.hook, show, lambda: bar.update(0))
    record.write_text(
        json.dumps({"made_with": wanted, "iterations": [asdict(i) for i in iterations]}, indent=1)
    )
    if not keep:
        for pattern in HEAVY_FILES:
            for path in folder.glob(pattern):
                path.unlink()
    return Run(row.name, simulation.seed, iterations)


def report(folder: Path, runs: Sequence[Run]) -> None:
    """Write the table, the numbers and the plot of all runs so far."""
    (folder / "pose_accuracy.json").write_text(json.dumps([asdict(r) for r in runs], indent=1))
    (folder / "pose_accuracy.md").write_text(markdown(runs))
    plot(folder / "pose_accuracy.png", runs)


def markdown(runs: Sequence[Run]) -> str:
    """A table of the median angular error: per iteration the mean over seeds."""
    count = len(runs[0].iterations)
    lines = [
        "Median angular error to the true poses, degrees (mean over seeds), by iteration.",
        "",
        "| | seeds | " + " | ".join(str(i) for i in range(1, count)) + " | RELION's Å | minutes |",
        "|---|---|" + "---|" * (count + 1),
    ]
    for name in dict.fromkeys(run.row for run in runs):
        mine = [run for run in runs if run.row == name]
        errors = np.mean([run.errors()[1:] for run in mine], axis=0)
        seeds = ", ".join(str(run.seed) for run in mine)
        resolution = np.mean([run.iterations[-1].resolution or np.inf for run in mine])
        minutes = np.mean([run.iterations[-1].seconds for run in mine]) / 60
        cells = [f"`{name}`", seeds, *(f"{e:.2f}" for e in errors), f"{resolution:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{minutes:.1f}"]) + " |")
    return "\n".join(lines) + "\n"


def plot(path: Path, runs: Sequence[Run]) -> None:
    """Error against iteration: a line per row (mean over seeds), a faint one per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(dict.fromkeys(run.row for run in runs)):
        colour = COLOURS[index % len(COLOURS)]
        errors = [run.errors() for run in runs if run.row == name]
        for one in errors:
            axes.plot(one, color=colour, alpha=0.3, linewidth=0.8)
        # Dashes let a line show through another that it covers: RELION's own two rows agree.
        style = "--" if index % 2 else "-"
        mean = np.mean(errors, axis=0)
        axes.plot(mean, style, color=colour, marker="o", markersize=4, label=name)
    axes.set_xlabel("iteration")
    axes.set_ylabel("median angular error (degrees)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
