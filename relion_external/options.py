"""Command-line options that several subcommands share, and the types that check them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path


def positive_number(text: str) -> float:
    """Argparse type: a number above zero."""
    return _checked(text, float, lambda value: value > 0, "a number above 0")


def positive_integer(text: str) -> int:
    """Argparse type: a whole number above zero."""
    return int(_checked(text, int, lambda value: value > 0, "a whole number above 0"))


def natural_number(text: str) -> int:
    """Argparse type: zero or a whole number above."""
    return int(_checked(text, int, lambda value: value >= 0, "a whole number, 0 or more"))


def non_negative_number(text: str) -> float:
    """Argparse type: zero or a number above."""
    return _checked(text, float, lambda value: value >= 0, "a number, 0 or more")


def add_nonuniform(group: argparse._ArgumentGroup, in_relion: bool = False) -> None:
    """Add the options of the non-uniform regulariser and of spectral trailing.

    Inside RELION (`in_relion`) there are particles, from which quarter-maps can be made.
    """
    risks = {
        "split-noise": "from this half-map and its noise spectrum alone",
        "cross-half": "against the other half-map",
    }
    if in_relion:
        risks["quarter"] = "by two halves of this half-set, which relion_reconstruct makes"
    group.add_argument(
        "--risk",
        choices=risks,
        default="split-noise",
        help="how the error of a cutoff is judged: "
        + "; ".join(f"{risk}, {how}" for risk, how in risks.items())
        + " (default: %(default)s)",
    )
    group.add_argument(
        "--awf",
        type=positive_number,
        default=3.0,
        metavar="F",
        help="adaptive window factor: extent of the window, in wavelengths of the cutoff, over "
        "which the error is judged (default: %(default)g)",
    )
    group.add_argument(
        "--order",
        type=positive_integer,
        default=8,
        metavar="N",
        help="order of the Butterworth filters (default: %(default)s)",
    )
    group.add_argument(
        "--levels",
        type=positive_integer,
        default=50,
        metavar="N",
        help="number of cutoffs to choose from (default: %(default)s)",
    )
    group.add_argument(
        "--trailing_distance",
        type=natural_number,
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


def add_hook(group: argparse._ArgumentGroup) -> None:
    """Add what only RELION's hook can use."""
    group.add_argument(
        "--method",
        choices=("nonuniform", "uniform"),
        default="nonuniform",
        help="nonuniform: local low-pass by cross-validation; uniform: RELION's own Wiener filter "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--partner_timeout",
        type=positive_number,
        default=120,
        metavar="S",
        help="longest wait for the other half's files, cross-half only (default: %(default)g s)",
    )
    group.add_argument(
        "--quarter_timeout",
        type=positive_number,
        default=3600,
        metavar="S",
        help="longest time relion_reconstruct may take for one quarter-map, quarter only "
        "(default: %(default)g s)",
    )
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
    group.add_argument(
        "--clean",
        action="store_true",
        help="remove RELION's data and weight arrays of a call after success",
    )


def add_geometry(group: argparse._ArgumentGroup) -> None:
    """Add the voxel size and the particle diameter."""
    group.add_argument(
        "--angpix", type=positive_number, metavar="A", help="voxel size in Å, if not the files'"
    )
    group.add_argument(
        "--particle_diameter", type=positive_number, metavar="A", help="in Å, if not the files'"
    )


def add_machine(group: argparse._ArgumentGroup) -> None:
    """Add the device and the number of threads."""
    group.add_argument(
        "--gpu",
        default="auto",
        metavar="ID",
        help="auto, cpu, or GPU numbers such as 0 or 0,1, dealt out to half-sets or classes "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--j", type=positive_integer, metavar="N", help="threads (default: the cores there are)"
    )


def _checked(text: str, kind: type, holds: Callable[[float], bool], expected: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
    return float(value)
