"""Two raw half-maps from any package, regularised without RELION."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from relion_external.options import (
    add_denoiser,
    add_geometry,
    add_machine,
    add_method,
    add_nonuniform,
    refuse_options_of_other_methods,
)

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
        "--o",
        type=output_prefix,
        required=True,
        metavar="PREFIX",
        help="start of the names of the outputs, their folder included, which is made if need be; "
        "of a folder alone, FOLDER/, the names start with map",
    )
    add_method(parser)
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
    add_denoiser(parser.add_argument_group("denoiser"))
    add_machine(parser.add_argument_group("machine"))


def output_prefix(text: str) -> Path:
    """Argparse type: what the names of the outputs start with."""
    path = Path(text)
    if text.endswith(os.sep) or path.is_dir():
        return path / "map"
    return path.with_suffix("") if path.suffix == ".mrc" else path


def run(args: argparse.Namespace) -> int:
    """Regularise the half-maps at `args.i` and `args.i2`."""
    refuse_options_of_other_methods(args, add_arguments)
    from relion_external.standalone import regularize_half_maps

    regularize_half_maps(args)
    return 0
