"""What `relion_refine` leaves on disk after each iteration, and when it is whole.

Ranks write at the same time, in no fixed order: an iteration is whole when all its files are.
RELION 3.1 to 5 end every table with a line that holds nothing but a blank.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from relion_external import star
from relion_external.plain_star import read_plain

_SPLIT_KINDS = ("optimiser", "sampling", "data", "half1_model", "half2_model")
"""The STAR files that an iteration of a refinement in two half-sets consists of."""


def iteration_file(root: Path, iteration: int, kind: str) -> Path:
    """Path of a STAR file of one iteration, such as ``run_it003_half1_model.star``."""
    return root.with_name(f"{root.name}_it{iteration:03d}_{kind}.star")


def final_file(root: Path, kind: str) -> Path:
    """Path of a STAR file of the last iteration, in which the half-sets are joined."""
    return root.with_name(f"{root.name}_{kind}.star")


def final_map(root: Path) -> Path:
    """Path of the joined map, which is there once the refinement has converged."""
    return root.with_name(f"{root.name}_class001.mrc")


def is_whole(root: Path, iteration: int) -> bool:
    """Whether RELION has finished writing an iteration of a refinement in two half-sets."""
    return all(_ends_a_table(iteration_file(root, iteration, kind)) for kind in _SPLIT_KINDS)


def whole_iterations(root: Path, first: int = 0) -> Iterator[int]:
    """Iterations in a row, from `first` on, whose files are whole."""
    while is_whole(root, first):
        yield first
        first += 1


def last_whole_iteration(root: Path) -> int | None:
    """The last iteration whose files are whole; None if there is none."""
    pattern = re.compile(re.escape(root.name) + r"_it(\d{3,})_optimiser\.star")
    matches = (pattern.fullmatch(path.name) for path in root.parent.glob("*_optimiser.star"))
    iterations = (int(match[1]) for match in matches if match)
    return max((each for each in iterations if is_whole(root, each)), default=None)


def resolution_angstrom(model: Path) -> float | None:
    """RELION's estimate of the resolution in Å, from a model STAR file; None at the start."""
    block = read_plain(model, first_only=True)["model_general"]
    if str(block.get(star.CURRENT_RESOLUTION)).lower() == "inf":
        return None
    return star.number(block, star.CURRENT_RESOLUTION, model)


def _ends_a_table(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
            end = file.read()
    except FileNotFoundError:
        return False
    return re.search(rb"\S[ \t]*\n[ \t]*\n\Z", end) is not None
