"""``relion-external demo``: the main job on a simulated particle set with known truth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "refine a small simulated data set with and without the hook and compare with the truth"

INTRODUCTION = """\
A toy with known truth: {particles} images of a simulated membrane protein, {box} pixels of
{voxel_size:g} Å wide, noisy, each particle in a detergent belt of its own, poses 6 degrees off to
begin with. RELION refines them twice, as it is and through the hook. Everything is kept in
{folder}."""

WITHOUT_RELION = """\
RELION is not installed here ({missing} not on the PATH), so nothing is refined: no poses, no
iterations, no comparison in RELION's loop. Instead the hook regularises one simulated half-map of
the same protein, once uniformly and once locally. Everything is kept in {folder}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("relion-external-demo"),
        metavar="DIR",
        help="folder for all files, made if need be (default: %(default)s)",
    )
    parser.add_argument(
        "--particles", type=int, default=1500, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--box", type=int, default=64, metavar="PIXELS", help="of 192 Å (default: %(default)s)"
    )
    parser.add_argument(
        "--iterations", type=int, default=6, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--gpu", default="auto", metavar="ID", help="as in reconstruct (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; return 0 when its picture is written."""
    # The simulation's matrix products are small: threads of NumPy's OpenBLAS gain little there and
    # wait for one another where other programs keep the cores busy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from relion_external.demo_half_maps import demonstrate_half_maps
    from relion_external.demo_options import DemoOptions
    from relion_external.demonstration import demonstrate
    from relion_external.errors import UserError
    from relion_external.refinement import missing_programs

    for name, least in (("particles", 100), ("box", 32), ("iterations", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} takes {least} or more, not {getattr(args, name)}")
    if args.box % 2:
        raise UserError(f"--box takes an even number of pixels, not {args.box}")
    options = DemoOptions(args.out, args.particles, args.box, args.iterations, args.seed, args.gpu)
    args.out.mkdir(parents=True, exist_ok=True)
    missing = missing_programs()
    if missing:
        print(WITHOUT_RELION.format(missing=", ".join(missing), folder=args.out), flush=True)
        picture = demonstrate_half_maps(options)
    else:
        print(
            INTRODUCTION.format(
                particles=args.particles,
                box=args.box,
                voxel_size=options.voxel_size,
                folder=args.out,
            ),
            flush=True,
        )
        picture = demonstrate(options)
    print(f"Picture: {picture}")
    return 0
