"""RELION's External job: one executable for the GUI, for schemes and for scripts.

RELION calls it as ``<executable> --o External/jobNNN/ [--in_3dref F ...] [--label value ...] --j N
[--pipeline_control External/jobNNN/]``; labels and values come unquoted, an empty value as none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from relion_external.errors import UserError
from relion_external.job_folder import exit_status
from relion_external.options import (
    add_denoiser,
    add_geometry,
    add_hook,
    add_machine,
    add_nonuniform,
    natural_number,
    positive_integer,
    positive_number,
    refuse_options_of_other_methods,
)

HELP = "run as RELION's External job: regularise two half-maps, or refine with the hook"

REGULARIZE, REFINE = "regularize", "refine"

_ONLY = {
    REGULARIZE: ("half2",),
    REFINE: (
        *("ini_high", "healpix_order", "auto_local_healpix_order", "pad", "mpi", "mpirun"),
        *("refine_gpu", "refine_args", "partner_timeout", "minres_map", "gridding"),
        *("quarter_timeout", "clean", "blush_compatible", "tune_every", "tune_steps", "in_parts"),
    ),
}
"""Options that have no meaning in the other mode."""


def main() -> int:
    """Run ``relion-external-job``: RELION's GUI takes one executable, without subcommand."""
    from relion_external import cli

    return cli.main(["job", *sys.argv[1:]])


def surroundings(argv: Sequence[str]) -> AbstractContextManager[None]:
    """Leave an exit file in the job's folder even where the other options cannot be parsed."""
    folder = _value_of("--o", argv)
    if folder is None or {"-h", "--help", "--version"} & set(argv):
        return nullcontext()
    return exit_status(Path(folder))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: RELION's own, then those that are given as labels."""
    parser.usage = "%(prog)s --o External/jobNNN/ [--in_... FILE] [--label value ...] [--j N]"
    _add_inputs(parser.add_argument_group("given by RELION's pipeliner"))
    parser.add_argument(
        "--mode",
        choices=(REGULARIZE, REFINE),
        help="regularize: two raw half-maps; refine: a whole auto-refinement with the hook "
        "(default: refine if there are particles)",
    )
    regularize = parser.add_argument_group("mode regularize")
    regularize.add_argument(
        "--half2",
        type=Path,
        metavar="MRC",
        help="the other half-map (default: found by RELION's, the EMDB's or cryoSPARC's naming)",
    )
    _add_refinement(parser.add_argument_group("mode refine"))
    maps = parser.add_argument_group("maps")
    add_geometry(maps)
    maps.add_argument(
        "--sym", default="C1", metavar="GROUP", help="point group (default: %(default)s)"
    )
    add_nonuniform(parser.add_argument_group("nonuniform"), in_relion=True)
    add_denoiser(parser.add_argument_group("denoiser"), in_relion=True)
    add_hook(parser.add_argument_group("hook, mode refine"))
    add_machine(parser.add_argument_group("machine"))


def run(args: argparse.Namespace) -> int:
    """Do the job in the folder `args.o`."""
    from relion_external.job_refine import refine
    from relion_external.job_regularize import regularize

    args.mode = args.mode or (REFINE if args.in_parts else REGULARIZE)
    _refuse_options_of_other_mode(args)
    refuse_options_of_other_methods(args, add_arguments)
    unused = [name for name in ("movies", "mics", "coords") if getattr(args, f"in_{name}")]
    if unused:
        names = ", ".join(f"--in_{name}" for name in unused)
        print(f" relion-external: not used: {names}", flush=True)
    {REGULARIZE: regularize, REFINE: refine}[args.mode](args)
    return 0


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--o", type=Path, required=True, metavar="DIR", help="the job's folder")
    group.add_argument(
        "--in_3dref",
        type=Path,
        metavar="MRC",
        help="regularize: a raw half-map; refine: the reference to start from",
    )
    group.add_argument("--in_mask", type=Path, metavar="MRC", help="soft solvent mask")
    group.add_argument("--in_parts", type=Path, metavar="STAR", help="refine: the particles")
    for name in ("movies", "mics", "coords"):
        group.add_argument(f"--in_{name}", type=Path, metavar="FILE", help="not used")
    group.add_argument(
        "--pipeline_control", metavar="DIR", help="not used: exit files go to --o in any case"
    )


def _add_refinement(group: argparse._ArgumentGroup) -> None:
    """Add the options of `relion_refine` that are asked for most; any other goes to refine_args."""
    group.add_argument(
        "--ini_high",
        type=positive_number,
        default=60.0,
        metavar="A",
        help="low-pass of the reference at the start, in Å (default: %(default)g)",
    )
    for name, default, what in (
        ("healpix_order", 2, "angular sampling at the start, 2 for 7.5 degrees"),
        ("auto_local_healpix_order", 4, "angular sampling from which searches are local"),
    ):
        group.add_argument(
            f"--{name}",
            type=natural_number,
            default=default,
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )
    group.add_argument(
        "--pad",
        type=positive_integer,
        default=2,
        metavar="N",
        help="padding factor, 1 or 2 (default: %(default)s)",
    )
    group.add_argument(
        "--mpi",
        type=positive_integer,
        default=3,
        metavar="N",
        help="MPI processes: 3 or another odd number (default: %(default)s)",
    )
    group.add_argument(
        "--mpirun",
        default="mpirun",
        metavar="WORDS",
        help="what starts MPI programs, its own options after commas: srun,--mpi=pmix "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--refine_gpu",
        metavar="IDS",
        help="RELION's own --gpu, such as 0:1 (default: RELION computes on the CPU)",
    )
    group.add_argument(
        "--refine_args",
        metavar="LIST",
        help="other options of relion_refine: name=value,name,name=no sets two and drops one; "
        "@FILE reads them from a file as on a command line",
    )


def _value_of(option: str, argv: Sequence[str]) -> str | None:
    """Value of an option in a command line that may be wrong elsewhere."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == option and following:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2] or None
    return None


def _refuse_options_of_other_mode(args: argparse.Namespace) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for mode, names in _ONLY.items():
        for name in names:
            if mode != args.mode and getattr(args, name) != parser.get_default(name):
                raise UserError(f"--{name} is for --mode {mode}, and this is {args.mode}")
    if args.mode == REGULARIZE and args.risk == "quarter":
        raise UserError(
            f"--risk quarter is for --mode {REFINE}, where there are particles to make "
            f"quarter-maps of, and this is {args.mode}"
        )
