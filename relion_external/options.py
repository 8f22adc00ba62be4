"""Command-line options that several subcommands share, and the types that check them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from relion_external.errors import UserError


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
        metavar="SHELLS",
        help="cut the reference this many shells before the FSC of the raw half-maps drops below "
        "0.143 (default: 0, with --method denoiser 2)",
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
        help="soft mask of where density can be "
        + (
            "(default: RELION's solvent mask with --method nonuniform, if it has one, else a "
            "sphere of the particle diameter)"
            if in_relion
            else "instead of a sphere of the particle diameter; it confines the filter, and is the "
            "mask of the FSC as well"
        ),
    )


METHODS = {
    "nonuniform": "local low-pass by cross-validation",
    "denoiser": "a network trained on pairs of half-maps (needs PyTorch)",
    "uniform": "one Wiener filter",
}
"""Regularisers and what they do."""

PRECISIONS = ("float32", "bfloat16", "float16")


def add_method(container: argparse._ActionsContainer) -> None:
    """Add the choice of the regulariser."""
    container.add_argument(
        "--method",
        choices=METHODS,
        default="nonuniform",
        help="; ".join(f"{name}: {what}" for name, what in METHODS.items())
        + " (default: %(default)s)",
    )


def add_denoiser(group: argparse._ArgumentGroup, in_relion: bool = False) -> None:
    """Add the options of the denoiser; `in_relion` those that concern RELION's arrays, too."""
    group.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights of the network (default: $RELION_EXTERNAL_WEIGHTS, else the published ones "
        "where RELION 5 keeps them, else those that come with this program)",
    )
    group.add_argument(
        "--stride",
        type=positive_integer,
        metavar="VOXELS",
        help="largest distance between blocks of the network; smaller is slower and smoother "
        "(default: 32)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the network's convolutions; float16 on GPUs only (default: float32)",
    )
    if in_relion:
        group.add_argument(
            "--blush_compatible",
            action="store_true",
            help="do all as relion-blush does, its known slips included",
        )
        group.add_argument(
            "--tune_every",
            type=natural_number,
            default=0,
            metavar="K",
            help="train the network on, in every K-th iteration, each half-set's own copy on that "
            "half-map alone (default: %(default)s, never)",
        )
        group.add_argument(
            "--tune_steps",
            type=positive_integer,
            default=100,
            metavar="N",
            help="steps of each tuning (default: %(default)s)",
        )


_OF_METHOD = {
    "nonuniform": ("risk", "awf", "order", "levels"),
    "denoiser": (
        "weights",
        "stride",
        "precision",
        "blush_compatible",
        "tune_every",
        "tune_steps",
    ),
}
"""Options that have a meaning with one method only."""


def refuse_options_of_other_methods(
    args: argparse.Namespace, add_arguments: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Refuse what the chosen method would ignore.

    Parameters
    ----------
    args : argparse.Namespace
    add_arguments : callable
        What declared the options, asked again for their defaults.

    Raises
    ------
    UserError
        If an option of another method differs from its default.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for method, names in _OF_METHOD.items():
        for name in names:
            if method != args.method and getattr(args, name, None) != parser.get_default(name):
                raise UserError(f"--{name} is for --method {method}, and this is {args.method}")


def trailing_distance(args: argparse.Namespace) -> int:
    """Shells before FSC 0.143 at which the map is cut: as given, or the method's own default."""
    default = 2 if args.method == "denoiser" else 0
    return default if args.trailing_distance is None else int(args.trailing_distance)


def add_hook(group: argparse._ArgumentGroup) -> None:
    """Add what only RELION's hook can use."""
    add_method(group)
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
