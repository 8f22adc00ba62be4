"""Train the denoiser on pairs of half-maps, or tune it to one data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from relion_external.options import (
    add_machine,
    natural_number,
    non_negative_number,
    positive_integer,
    positive_number,
)

HELP = "train the denoiser on pairs of half-maps, or tune it to one data set (--finetune)"

FINETUNING: dict[str, Any] = {"steps": 300, "rate": 2e-4, "recycles": 0, "batch": 4, "blur": 0.0}
TRAINING: dict[str, Any] = {"steps": 100_000, "rate": 1e-3, "recycles": 5, "batch": 8, "blur": 60.0}
"""Defaults of the options that differ between the two."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--pairs",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="folders with half-maps named as by RELION, the EMDB or cryoSPARC, searched through "
        "and through, or STAR files with _rlnUnfilteredMapHalf1, _rlnUnfilteredMapHalf2 and, if "
        "there are masks, _rlnMaskName; with --finetune, the one data set",
    )
    data.add_argument(
        "--validation",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="the same, of structures that are unlike all that are trained on",
    )
    data.add_argument(
        "--o", type=Path, required=True, metavar="FILE", help="weights to write (.pt)"
    )
    data.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights to start from (default: none)"
    )
    data.add_argument(
        "--finetune",
        action="store_true",
        help="learn from one pair of raw half-maps, each the other's target (noise2noise); the "
        "defaults are then for minutes instead of days",
    )
    _add_training(parser.add_argument_group("training"))
    machine = parser.add_argument_group("machine")
    add_machine(machine)
    machine.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="arithmetic of the network; bfloat16 is mixed precision (default: %(default)s)",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--width",
        type=positive_integer,
        metavar="N",
        help="channels at full resolution (default: 16, the published network's, or that of "
        "--weights)",
    )
    for name, kind, metavar, what in (
        ("steps", positive_integer, "N", "steps of training"),
        ("rate", positive_number, "R", "highest learning rate"),
        ("batch", positive_integer, "N", "blocks in a batch, over all GPUs"),
        ("recycles", natural_number, "N", "first apply the network 0 to N times"),
        ("blur", non_negative_number, "B", "random blur of the blocks, up to this B-factor in Å^2"),
    ):
        default = f"{TRAINING[name]:g}, with --finetune {FINETUNING[name]:g}"
        group.add_argument(
            f"--{name}", type=kind, metavar=metavar, help=f"{what} (default: {default})"
        )
    for name, amount, what in (
        ("noise", 1.0, "add noise of up to this times the half-map's standard deviation"),
        ("intensity", 0.1, "scale the blocks by up to 1 ± this"),
        ("affine", 0.25, "fraction of the blocks at a random angle, the others at right angles"),
        ("dropout", 0.5, "fraction of the deepest features dropped"),
    ):
        group.add_argument(
            f"--{name}",
            type=non_negative_number,
            default=amount,
            metavar="X",
            help=f"{what} (default: %(default)s)",
        )
    group.add_argument(
        "--blocks_per_pair",
        type=positive_integer,
        default=24,
        metavar="N",
        help="blocks cut from a pair before the next one is read (default: %(default)s)",
    )
    group.add_argument(
        "--save_every",
        type=positive_integer,
        default=250,
        metavar="N",
        help="steps between checkpoints, from which the command resumes (default: %(default)s)",
    )
    group.add_argument("--seed", type=natural_number, default=0, metavar="N", help="random seed")


def run(args: argparse.Namespace) -> int:
    """Train, and print where the weights are."""
    from relion_external.train_setup import train_as_asked

    for name, default in (FINETUNING if args.finetune else TRAINING).items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    train_as_asked(args)
    print(args.o)
    return 0
