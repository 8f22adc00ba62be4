"""Two raw half-maps from any package, regularised without RELION."""

from __future__ import annotations

import argparse
from pathlib import Path

from relion_external.options import add_geometry, add_machine, add_nonuniform

HELP = "regularise two half-maps from any package, without RELION"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--i", type=Path, required=True, metavar="MRC", help="raw half-map (.mrc, .map, .map.gz)"
    )
    parser.add_argument(
        "--i2",
        type=Path,
        metavar="MRC",
        help="the other half-map (default: found by RELION's, the EMDB's or cryoSPARC's naming)",
    )
    parser.add_argument(
        "--o", type=Path, required=True, metavar="PREFIX", help="start of the names of the outputs"
    )
    parser.add_argument(
        "--method",
        choices=("nonuniform", "uniform"),
        default="nonuniform",
        help="nonuniform: local low-pass by cross-validation; uniform: one Wiener filter from the "
        "FSC (default: %(default)s)",
    )
    maps = parser.add_argument_group("maps")
    add_geometry(maps)
    maps.add_argument(
        "--sym",
        default="C1",
        metavar="GROUP",
        help="point group to impose on the half-maps first: Cn, Dn, O or I1 in RELION's "
        "orientations (default: %(default)s)",
    )
    add_nonuniform(parser.add_argument_group("nonuniform"))
    add_machine(parser.add_argument_group("machine"))


def run(args: argparse.Namespace) -> int:
    """Regularise the half-maps at `args.i` and `args.i2`."""
    from relion_external.standalone import regularize_half_maps

    regularize_half_maps(args)
    return 0
