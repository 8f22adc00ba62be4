"""Quarter-maps: two random halves of a half-set reconstructed, for the risk that compares them.

RELION hands over sums, from which no part of the particles can be taken back out. So the particles
of this half-set are reconstructed afresh by `relion_reconstruct`, with the poses that the previous
iteration left in its particle STAR file: one iteration behind the half-map, whose own poses RELION
writes only after this call.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import shell_to_angstrom
from relion_external import star
from relion_external.errors import UserError
from relion_external.iteration import HALF, HookCall, PreviousIteration
from relion_external.outputs import QUARTERS
from relion_external.plain_star import read_plain
from relion_external.processes import run_to_the_end
from relion_external.volumes import read_map

if TYPE_CHECKING:
    import pandas as pd

PROGRAM = "relion_reconstruct"

log = logging.getLogger(__name__)


def has_poses(call: HookCall) -> bool:
    """Whether an earlier iteration of the run has found poses; before the first, none has."""
    return call.name.iteration > 1


def quarter_maps(
    call: HookCall, previous: PreviousIteration, voxel_size: float, limit_s: float, xp: ModuleType
) -> tuple[Array, Array]:
    """Reconstruct two random halves of the half-set of `call`: two (N, N, N) float32 maps.

    The halves are drawn anew in each iteration, and the same if a call is answered again.

    Parameters
    ----------
    call : HookCall
        Of one half-set.
    previous : PreviousIteration
        Whose particle STAR file is read.
    voxel_size : float
        In Å.
    limit_s : float
        Longest time that the reconstruction of one quarter may take.
    xp : module
        numpy or cupy: where the maps are wanted.

    Raises
    ------
    UserError
        If the particles or `relion_reconstruct` cannot be found, or it fails or takes too long.
    """
    if shutil.which(PROGRAM) is None:
        raise UserError(
            f"the risk quarter needs RELION's {PROGRAM}, which is not on the PATH: "
            "use --risk split-noise"
        )
    path = _particles_path(previous)
    blocks = star.read_blocks(path)
    particles = _of_half_set(blocks, call, path)
    symmetry = _symmetry(previous)
    shuffled = np.random.default_rng([call.name.iteration, call.name.half or 0]).permutation(
        len(particles)
    )
    # In the run's folder, which every node sees and which has room for maps.
    with tempfile.TemporaryDirectory(
        prefix=f"{call.result.stem}{QUARTERS}", dir=call.result.parent
    ) as folder:
        found = []
        for quarter in (1, 2):
            rows = np.sort(shuffled[quarter - 1 :: 2])
            quarter_star = Path(folder) / f"quarter{quarter}.star"
            _write(blocks | {"particles": particles.iloc[rows]}, quarter_star)
            start = time.monotonic()
            volume = _reconstruct(call, quarter_star, symmetry, voxel_size, limit_s)
            log.info(
                "quarter-map %d: %d particles of %s in %.1f s",
                *(quarter, len(rows), path, time.monotonic() - start),
            )
            found.append(xp.asarray(volume))
    return found[0], found[1]


def check(call: HookCall, previous: PreviousIteration) -> None:
    """Refuse calls that have no quarter-maps."""
    if call.name.kind == "body":
        raise UserError(
            "the risk quarter cannot be had in multi-body refinement, where the particles would "
            "have to be subtracted first: use --risk split-noise"
        )
    if star.number(previous.optimiser, star.HELICAL, previous.optimiser_path, default=0):
        raise UserError(
            "the risk quarter cannot be had in helical refinement: use --risk split-noise"
        )
    if previous.data_dimension != 2:
        raise UserError("the risk quarter takes images, not sub-tomograms: use --risk split-noise")
    if call.mode == HALF and has_poses(call):
        _particles_path(previous)


def _particles_path(previous: PreviousIteration) -> Path:
    """The particle STAR file that the previous iteration left."""
    named = previous.optimiser.get(star.PARTICLES)
    if named is None:
        raise UserError(
            f"the risk quarter needs the particles of the previous iteration, which "
            f"{previous.optimiser_path} would name (_{star.PARTICLES}), but does not: "
            "use --risk split-noise"
        )
    path = Path(str(named))
    if not path.exists():
        raise UserError(
            f"the risk quarter needs the particles of the previous iteration, but {path}, named in "
            f"{previous.optimiser_path}, does not exist: use --risk split-noise"
        )
    return path


def _of_half_set(blocks: dict[str, Any], call: HookCall, path: Path) -> pd.DataFrame:
    particles = blocks.get("particles")
    if particles is None or star.HALF_SET not in particles:
        raise UserError(
            f"{path} does not say which half-set each particle belongs to "
            f"(_{star.HALF_SET}), which the risk quarter needs"
        )
    mine = particles[particles[star.HALF_SET] == call.name.half]
    if len(mine) < 2:
        raise UserError(
            f"{path} has {len(mine)} particles of half-set {call.name.half}; the risk quarter "
            "needs at least 2"
        )
    return mine


def _symmetry(previous: PreviousIteration) -> str:
    """Point group of the refinement, from the previous iteration's sampling STAR file."""
    path = Path(str(previous.optimiser.get(star.SAMPLING, "")))
    if not path.is_file():
        raise UserError(
            f"the risk quarter needs the symmetry, but the sampling file that "
            f"{previous.optimiser_path} names ({path}) does not exist"
        )
    block = next(iter(read_plain(path, first_only=True).values()))
    return star.text(block, star.SYMMETRY, path)


def _write(blocks: dict[str, Any], path: Path) -> None:
    import starfile

    starfile.write(blocks, path, overwrite=True)


def _reconstruct(
    call: HookCall, particles: Path, symmetry: str, voxel_size: float, limit_s: float
) -> np.ndarray:
    result = particles.with_suffix(".mrc")
    finest = shell_to_angstrom(call.max_shell, call.box, voxel_size)
    # Open MPI's variables would make a program started by a rank believe that it is one.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_", "PMIX_", "PMI_"))
    }
    log_path = call.star_path.with_name(f"{call.star_path.stem}_{particles.stem}.log")
    run_to_the_end(
        [
            *(PROGRAM, "--i", str(particles), "--o", str(result), "--ctf", "--skip_gridding"),
            *("--pad", f"{call.padding:g}", "--sym", symmetry, "--maxres", f"{finest:.4f}"),
        ],
        working_folder=Path.cwd(),  # image names are relative to RELION's project folder
        log_path=log_path,
        time_limit_s=limit_s,
        environment=environment,
    )
    volume = read_map(result, call.box)
    log_path.unlink()  # it is of use only after a failure
    return volume
