"""The hook: what RELION runs in place of relion_external_reconstruct."""

from __future__ import annotations

import argparse
from pathlib import Path

from relion_external.options import add_geometry, add_machine, add_nonuniform, positive_number

HELP = "regularise one half-map for a running relion_refine (--external_reconstruct)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; RELION itself gives only the STAR file."""
    parser.add_argument("star", type=Path, help="STAR file of the call, which RELION appends")
    parser.add_argument(
        "--method",
        choices=("nonuniform", "uniform"),
        default="nonuniform",
        help="nonuniform: local low-pass by cross-validation; uniform: RELION's own Wiener filter "
        "(default: %(default)s)",
    )
    nonuniform = parser.add_argument_group("nonuniform")
    add_nonuniform(nonuniform)
    nonuniform.add_argument(
        "--partner_timeout",
        type=positive_number,
        default=120,
        metavar="S",
        help="longest wait for the other half's files, cross-half only (default: %(default)g s)",
    )
    reconstruction = parser.add_argument_group("reconstruction")
    reconstruction.add_argument(
        "--minres_map",
        type=int,
        default=5,
        metavar="SHELL",
        help="first shell that the Wiener filter regularises: 5 inside RELION, -1 in "
        "relion_external_reconstruct (default: %(default)s)",
    )
    reconstruction.add_argument(
        "--gridding",
        action="store_true",
        help="ten gridding iterations, the default of RELION 3.1 and relion_external_reconstruct",
    )
    add_geometry(reconstruction)
    machine = parser.add_argument_group("machine")
    add_machine(machine)
    machine.add_argument(
        "--clean",
        action="store_true",
        help="remove RELION's data and weight arrays of this call after success",
    )


def run(args: argparse.Namespace) -> int:
    """Answer one call of RELION."""
    from relion_external.hook import answer

    answer(args)
    return 0
