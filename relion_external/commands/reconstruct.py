"""The hook: what RELION runs in place of relion_external_reconstruct."""

from __future__ import annotations

import argparse
from pathlib import Path

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
    _add_nonuniform(parser.add_argument_group("nonuniform"))
    _add_reconstruction(parser.add_argument_group("reconstruction"))
    _add_machine(parser.add_argument_group("machine"))


def run(args: argparse.Namespace) -> int:
    """Answer one call of RELION."""
    from relion_external.hook import answer

    answer(args)
    return 0


def _add_nonuniform(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--risk",
        choices=("split-noise", "cross-half"),
        default="split-noise",
        help="how the error of a cutoff is judged: from this half-map and its noise spectrum "
        "alone, or against the other half-map (default: %(default)s)",
    )
    group.add_argument(
        "--awf",
        type=float,
        default=3.0,
        metavar="F",
        help="adaptive window factor: extent of the window, in wavelengths of the cutoff, over "
        "which the error is judged (default: %(default)g)",
    )
    group.add_argument(
        "--order",
        type=int,
        default=8,
        help="order of the Butterworth filters (default: %(default)s)",
    )
    group.add_argument(
        "--levels",
        type=int,
        default=50,
        help="number of cutoffs to choose from (default: %(default)s)",
    )
    group.add_argument(
        "--trailing_distance",
        type=int,
        default=0,
        metavar="SHELLS",
        help="cut the reference this many shells before the FSC of the raw half-maps drops below "
        "0.143 (default: %(default)s)",
    )
    group.add_argument(
        "--skip_spectral_trailing",
        action="store_true",
        help="do not cut the reference there; may inflate the resolution",
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="MRC",
        help="soft mask of where density can be, instead of a sphere of the particle diameter",
    )
    group.add_argument(
        "--partner_timeout",
        type=float,
        default=120,
        metavar="S",
        help="longest wait for the other half's files, cross-half only (default: %(default)g s)",
    )


def _add_reconstruction(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--minres_map",
        type=int,
        default=5,
        metavar="SHELL",
        help="first shell that the Wiener filter regularises: 5 inside RELION, -1 in "
        "relion_external_reconstruct (default: %(default)s)",
    )
    group.add_argument(
        "--gridding",
        action="store_true",
        help="ten gridding iterations, the default of RELION 3.1 and relion_external_reconstruct",
    )
    group.add_argument("--angpix", type=float, metavar="A", help="voxel size in Å, if not RELION's")
    group.add_argument("--particle_diameter", type=float, metavar="A", help="in Å, if not RELION's")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--gpu",
        default="auto",
        metavar="ID",
        help="auto, cpu, or GPU numbers such as 0 or 0,1, dealt out to half-sets or classes "
        "(default: %(default)s)",
    )
    group.add_argument("--j", type=int, metavar="N", help="threads (default: the cores there are)")
    group.add_argument(
        "--clean",
        action="store_true",
        help="remove RELION's data and weight arrays of this call after success",
    )
