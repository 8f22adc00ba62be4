"""The hook: what RELION runs in place of relion_external_reconstruct."""

from __future__ import annotations

import argparse
from pathlib import Path

from relion_external.options import (
    add_denoiser,
    add_geometry,
    add_hook,
    add_machine,
    add_nonuniform,
    refuse_options_of_other_methods,
)

HELP = "regularise one half-map for a running relion_refine (--external_reconstruct)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; RELION itself gives only the STAR file."""
    parser.add_argument("star", type=Path, help="STAR file of the call, which RELION appends")
    add_hook(parser.add_argument_group("hook"))
    add_nonuniform(parser.add_argument_group("nonuniform"), in_relion=True)
    add_denoiser(parser.add_argument_group("denoiser"), in_relion=True)
    add_geometry(parser.add_argument_group("maps"))
    add_machine(parser.add_argument_group("machine"))


def run(args: argparse.Namespace) -> int:
    """Answer one call of RELION."""
    refuse_options_of_other_methods(args, add_arguments)
    from relion_external.hook import answer

    answer(args)
    return 0
