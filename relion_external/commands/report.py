"""Plots of a run from the history that the hook writes."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw how a refinement went, from the history that the hook writes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "root",
        type=Path,
        metavar="ROOT",
        help="RELION's output root, such as Refine3D/job012/run, or the folder of the job; reads "
        "ROOT_external.jsonl and those of the run's continuations, ROOT_ctN_external.jsonl",
    )
    parser.add_argument(
        "--o",
        type=Path,
        metavar="PREFIX",
        help="start of the names of the outputs (default: ROOT_external)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw the history of the run at `args.root`."""
    from relion_external.history import draw_history
    from relion_external.outputs import history_path
    from relion_external.run_history import find_run, read_run

    root = find_run(args.root) if args.root.is_dir() else args.root
    prefix = args.o or history_path(root).with_suffix("")
    pdf, png = (prefix.with_name(f"{prefix.name}.{kind}") for kind in ("pdf", "png"))
    draw_history(read_run(root), str(root), pdf, png)
    print(f"{png}\n{pdf}")
    return 0
