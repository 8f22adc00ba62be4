"""Refine a simulated set with the real relion_refine_mpi, once with each regulariser.

    python benchmarks/refine.py transporter --out lab --repeats 2 --particles 1000 2000 \
        --methods none nonuniform nonuniform:cross-half "nonuniform --awf 2"

Methods are `none` (RELION without a hook), `relion` (its own external program) and METHOD[:RISK]
with further options of `relion-external reconstruct`. Every repeat has poses, noise and random
seeds of its own, the same for all methods. Finished runs are kept and not repeated, so the command
resumes where it was interrupted; a run counts as finished only if it was made with the same options
by the same code, unless --any_code is given.

Writes report.md, runs.csv and figures into OUT/SET-SIZE: angular and shift errors by iteration, FSC
to the truth in the whole, the rigid and the disordered part, RELION's own FSC, local errors, time,
and, with several numbers of particles, data efficiency. The sets: python benchmarks/sets.py --help.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import sets
from reporting import write_report
from runs import Method, Run, finished_run, make_run, parse_method
from sets import SETS, LabSet, first_particles, make_set, solvent_mask

from relion_external.errors import UserError
from relion_external.progress import progress_bar
from relion_external.refinement import IterationResult, RefinementOptions


def main() -> None:
    args = parse_arguments()
    try:
        refine_all(args)
    except UserError as error:
        sys.exit(f"refine.py: {error}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sets.add_arguments(parser)
    parser.add_argument("--methods", nargs="+", default=["none", "nonuniform"], metavar="METHOD")
    parser.add_argument("--repeats", type=int, default=1, metavar="N")
    parser.add_argument("--first_seed", type=int, default=1, metavar="N")
    parser.add_argument(
        "--particles",
        type=int,
        nargs="+",
        metavar="N",
        help="refine the first N of the set's, or simulate more; several for data efficiency",
    )
    parser.add_argument("--iterations", type=int, default=8, metavar="N")
    parser.add_argument(
        "--masked",
        action="store_true",
        help="give RELION a solvent mask of molecule and belt, and --solvent_correct_fsc",
    )
    parser.add_argument("--padding", type=int, default=1, choices=(1, 2))
    parser.add_argument(
        "--any_code", action="store_true", help="take finished runs of other versions of the code"
    )
    parser.add_argument("--report", action="store_true", help="only report what is finished")
    return parser.parse_args()


def refine_all(args: argparse.Namespace) -> None:
    """Make or find every run, the report being brought up to date after each."""
    methods = [parse_method(text) for text in args.methods]
    recipe = SETS[args.set]
    report = args.out / f"{args.set}-{args.size}" / ("masked" if args.masked else "")
    folder = args.out / f"{args.set}-{args.size}"
    own = getattr(recipe, args.size).particles
    counts = args.particles or [own]
    most = max(own, *counts)
    report.mkdir(parents=True, exist_ok=True)
    found: list[Run] = []
    for seed in range(args.first_seed, args.first_seed + args.repeats):
        home = folder / f"seed_{seed}"
        whole = make_set(args.set, home / "set", args.size, seed, args.models, most)
        for count in counts:
            lab = whole if count == most else first_particles(whole, count)
            options = RefinementOptions(
                particle_diameter=recipe.particle_diameter,
                iterations=args.iterations,
                padding=args.padding,
                symmetry=recipe.symmetry,
                solvent_mask=solvent_mask(whole) if args.masked else None,
                seed=seed,
                time_limit_s=48 * 3600,
            )
            for method in methods:
                name = ("masked_" if args.masked else "") + method.folder_name
                name = f"{name}_{lab.count}" if lab.count else name
                run = finished_run(home / name, method, lab, options, args.any_code)
                if run is None and not args.report:
                    run = _make_with_progress(home / name, method, lab, options)
                if run is not None:
                    found.append(run)
                    write_report(report, args.set, recipe.about, found)
    if found:
        print((report / "report.md").read_text())


def _make_with_progress(
    folder: Path, method: Method, lab: LabSet, options: RefinementOptions
) -> Run:
    what = f"{folder.parent.name}, {method.name}" + (f", {lab.count}" if lab.count else "")
    with progress_bar(options.iterations, what, "iteration") as bar:

        def show(result: IterationResult) -> None:
            resolution = f", RELION says {result.resolution:.1f} Å" if result.resolution else ""
            bar.set_postfix_str(f"{result.angular_error:.2f} degrees off{resolution}", False)
            bar.update(result.iteration - bar.n)

        run = make_run(folder, method, lab, options, show, lambda: bar.update(0))
        if run.last.iteration < options.iterations:
            bar.set_postfix_str(f"converged after iteration {run.last.iteration}")
        return run


if __name__ == "__main__":
    main()
