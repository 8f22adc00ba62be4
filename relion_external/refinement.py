"""Run `relion_refine_mpi` on a simulated set and compare each iteration with the truth."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plugin_core.simulation.poses import (
    angular_distance,
    euler_to_matrix,
    nearest_mates,
    remove_common_rotation,
)
from plugin_core.symmetry import rotations
from relion_external import hook_variable, star, system
from relion_external.errors import UserError
from relion_external.mpi import mpirun_command
from relion_external.processes import run_to_the_end
from relion_external.refine_files import (
    final_map,
    iteration_file,
    resolution_angstrom,
    whole_iterations,
)
from relion_external.simulated_set import ANGLES, ORIGINS, SimulatedSet

_RUN = "run"


@dataclass(frozen=True)
class RefinementOptions:
    """Options of a local auto-refinement; lengths in Å, except offsets, which are in pixels.

    Searches are local from the first iteration, around the poses of the particle table. With a
    solvent mask, RELION corrects its FSC for it (--solvent_correct_fsc).
    """

    particle_diameter: float
    iterations: int = 8
    healpix_order: int = 4
    offset_range: float = 3.0
    offset_step: float = 2.0
    initial_low_pass: float = 30.0
    padding: int = 1
    symmetry: str = "C1"
    solvent_mask: Path | None = None
    seed: int = 1
    time_limit_s: float = 7200.0


@dataclass(frozen=True)
class IterationResult:
    """One iteration against the truth.

    Attributes
    ----------
    iteration : int
        0 is the start.
    angular_error, origin_error : float
        Median over particles, in degrees and Å. A rotation or shift that all particles of a
        half-set share is taken out first: it moves that half-map, not particles against it.
    angular_error_as_is : float
        Median, in degrees, without that correction.
    resolution : float or None
        RELION's own estimate in Å; None at the start.
    seconds : float
        Wall-clock time since the run began.
    """

    iteration: int
    angular_error: float
    angular_error_as_is: float
    origin_error: float
    resolution: float | None
    seconds: float


def missing_programs() -> list[str]:
    """Return the programs that :func:`refine` needs and that are not on the PATH."""
    return system.missing_programs("relion_refine_mpi", "relion_reconstruct", "mpirun")


def refine(
    particles: SimulatedSet,
    folder: Path,
    options: RefinementOptions,
    hook: str | None,
    on_iteration: Callable[[IterationResult], None] = lambda result: None,
    on_wait: Callable[[], None] = lambda: None,
) -> list[IterationResult]:
    """Refine a set and return its iterations, the start first.

    RELION may converge before the last of them: then there are fewer. The last iteration of a
    converged refinement, which joins the half-sets, is not among them.

    Parameters
    ----------
    particles : SimulatedSet
    folder : Path
        Where RELION writes `run_*`; what RELION prints goes to `run.log` there.
    options : RefinementOptions
    hook : str or None
        Command for RELION's external reconstruction; None refines without one.
    on_iteration : callable
        Called with each iteration as soon as it is on disk.
    on_wait : callable
        Called about once a second meanwhile.

    Raises
    ------
    UserError
        If RELION is missing, fails or takes longer than the time limit.
    """
    missing = missing_programs()
    if missing:
        raise UserError(f"{' and '.join(missing)} not found on the PATH, needed for a refinement")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{_RUN}_*"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    truth = particle_table(particles.true_particles)
    results: list[IterationResult] = []
    start = time.monotonic()

    def look() -> None:
        for iteration in whole_iterations(folder / _RUN, len(results)):
            seconds = time.monotonic() - start
            results.append(compare_iteration(folder, iteration, truth, seconds, options.symmetry))
            on_iteration(results[-1])
        on_wait()

    run_to_the_end(
        [*mpirun_command(), *relion_arguments(particles, folder, options, hook is not None)],
        working_folder=particles.folder,
        log_path=folder / "run.log",
        time_limit_s=options.time_limit_s,
        environment=hook_variable.environment(hook),
        on_wait=look,
    )
    look()
    if len(results) != options.iterations + 1 and not final_map(folder / _RUN).exists():
        raise UserError(
            f"RELION ended after {len(results) - 1} of {options.iterations} iterations; "
            f"see {folder / 'run.log'}"
        )
    return results


def compare_iteration(
    folder: Path, iteration: int, truth: pd.DataFrame, seconds: float, symmetry: str = "C1"
) -> IterationResult:
    """Compare the poses that RELION wrote for one iteration with the true ones.

    `truth` is a particle table indexed by image name.
    """
    root = folder / _RUN
    table = particle_table(iteration_file(root, iteration, "data"))
    mates = true_mates(table, truth, symmetry)
    seen = in_frame_of_truth(table, mates)
    shifts = (seen[ORIGINS] - mates[ORIGINS]).to_numpy(dtype=np.float64)
    return IterationResult(
        iteration=iteration,
        angular_error=float(np.median(angular_distance(seen[ANGLES], mates[ANGLES]))),
        angular_error_as_is=float(np.median(angular_distance(table[ANGLES], mates[ANGLES]))),
        origin_error=float(np.median(np.linalg.norm(shifts, axis=1))),
        resolution=resolution_angstrom(iteration_file(root, iteration, "half1_model")),
        seconds=seconds,
    )


def particle_table(path: Path) -> pd.DataFrame:
    """Read the particles of a STAR file, indexed by image name."""
    return star.read_blocks(path)["particles"].set_index("rlnImageName")


def true_mates(table: pd.DataFrame, truth: pd.DataFrame, symmetry: str) -> pd.DataFrame:
    """Return the true poses of the particles of `table`, of symmetry mates those that lie nearest.

    Both tables are indexed by image name.
    """
    true = truth.loc[table.index].copy()
    if symmetry.upper() != "C1":
        true[ANGLES] = nearest_mates(true[ANGLES], table[ANGLES], rotations(symmetry))
    return true


def in_frame_of_truth(table: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Return `table` without the rotation and shift that all particles of a half-set share.

    They move that half-map against the truth, not particles against the map. `true` has the same
    rows. A map moved by t (x, y, z) asks each particle for the origin -(A t) in x and y.
    """
    seen = table.copy()
    for half in (1, 2):
        rows = (table["rlnRandomSubset"] == half).to_numpy()
        seen.loc[rows, ANGLES] = remove_common_rotation(table.loc[rows, ANGLES], true[rows][ANGLES])
        in_plane = euler_to_matrix(true[rows][ANGLES])[:, :2].reshape(-1, 3)
        difference = (table[rows][ORIGINS] - true[rows][ORIGINS]).to_numpy(dtype=np.float64)
        shift, *_ = np.linalg.lstsq(in_plane, difference.ravel(), rcond=None)
        seen.loc[rows, ORIGINS] = table[rows][ORIGINS] - (in_plane @ shift).reshape(-1, 2)
    return seen


def relion_arguments(
    particles: SimulatedSet, folder: Path, options: RefinementOptions, external: bool
) -> list[str]:
    """Command line of `relion_refine_mpi`, to be run in the folder of the particles."""
    values = {
        "--o": folder.resolve() / _RUN,
        "--i": particles.particles.name,
        "--ref": particles.reference.name,
        "--ini_high": options.initial_low_pass,
        "--particle_diameter": options.particle_diameter,
        "--pad": options.padding,
        "--healpix_order": options.healpix_order,
        "--auto_local_healpix_order": options.healpix_order,
        "--offset_range": options.offset_range,
        "--offset_step": options.offset_step,
        "--auto_iter_max": options.iterations,
        "--random_seed": options.seed,
        "--oversampling": 1,
        "--low_resol_join_halves": 40,
        "--pool": 10,
        "--j": 1,
        "--sym": options.symmetry,
    }
    flags = [
        *("--auto_refine", "--split_random_halves", "--ctf", "--flatten_solvent", "--zero_mask"),
        *("--norm", "--scale", "--dont_check_norm", "--dont_combine_weights_via_disc"),
        *(["--external_reconstruct"] if external else []),
        *(["--solvent_correct_fsc"] if options.solvent_mask else []),
    ]
    if options.solvent_mask is not None:
        values["--solvent_mask"] = options.solvent_mask.resolve()
    pairs = [str(word) for pair in values.items() for word in pair]
    return ["relion_refine_mpi", *pairs, *flags]
