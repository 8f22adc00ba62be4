"""Run `relion_refine_mpi` on a simulated set and compare each iteration with the truth."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import relion_external
from plugin_core.simulation.poses import (
    angular_distance,
    euler_to_matrix,
    remove_common_rotation,
)
from relion_external import hook_variable, star, system
from relion_external.errors import UserError
from relion_external.processes import run_to_the_end
from relion_external.simulated_set import ANGLES, ORIGINS, SimulatedSet

_RESOLUTION = "rlnCurrentResolution"
RANKS = 3  # a leader and one rank for each half-set


@dataclass(frozen=True)
class RefinementOptions:
    """Options of a local auto-refinement; lengths in Å, except offsets, which are in pixels.

    Searches are local from the first iteration, around the poses of the particle table.
    """

    particle_diameter: float
    iterations: int = 8
    healpix_order: int = 4
    offset_range: float = 3.0
    offset_step: float = 2.0
    initial_low_pass: float = 30.0
    padding: int = 1
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
    return [
        name
        for name in ("relion_refine_mpi", "relion_reconstruct", "mpirun")
        if shutil.which(name) is None
    ]


def refine(
    particles: SimulatedSet,
    folder: Path,
    options: RefinementOptions,
    hook: str | None,
    on_iteration: Callable[[IterationResult], None] = lambda result: None,
    on_wait: Callable[[], None] = lambda: None,
) -> list[IterationResult]:
    """Refine a set and return its iterations, the start first.

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
    for stale in folder.glob("run_it*"):
        stale.unlink()
    truth = _particle_table(particles.true_particles)
    results: list[IterationResult] = []
    start = time.monotonic()

    def look() -> None:
        for iteration in _new_iterations(folder, len(results), len(truth)):
            seconds = time.monotonic() - start
            results.append(compare_iteration(folder, iteration, truth, seconds))
            on_iteration(results[-1])
        on_wait()

    run_to_the_end(
        [*mpirun_command(), *relion_arguments(particles, folder, options, hook is not None)],
        working_folder=particles.folder,
        log_path=folder / "run.log",
        time_limit_s=options.time_limit_s,
        environment=_environment(hook),
        on_wait=look,
    )
    look()
    if len(results) != options.iterations + 1:
        raise UserError(
            f"RELION ended after {len(results) - 1} of {options.iterations} iterations; "
            f"see {folder / 'run.log'}"
        )
    return results


def compare_iteration(
    folder: Path, iteration: int, truth: pd.DataFrame, seconds: float
) -> IterationResult:
    """Compare the poses that RELION wrote for one iteration with the true ones.

    `truth` is a particle table indexed by image name.
    """
    table = _particle_table(_output(folder, iteration, "data"))
    true = truth.loc[table.index]
    angular, origin = np.empty(len(table)), np.empty(len(table))
    for half in (1, 2):
        rows = (table["rlnRandomSubset"] == half).to_numpy()
        angular[rows] = angular_distance(
            remove_common_rotation(table.loc[rows, ANGLES], true.loc[rows, ANGLES]),
            true.loc[rows, ANGLES],
        )
        origin[rows] = np.linalg.norm(_origin_differences(table[rows], true[rows]), axis=1)
    return IterationResult(
        iteration=iteration,
        angular_error=float(np.median(angular)),
        angular_error_as_is=float(np.median(angular_distance(table[ANGLES], true[ANGLES]))),
        origin_error=float(np.median(origin)),
        resolution=_resolution(_output(folder, iteration, "half1_model")),
        seconds=seconds,
    )


def relion_arguments(
    particles: SimulatedSet, folder: Path, options: RefinementOptions, external: bool
) -> list[str]:
    """Command line of `relion_refine_mpi`, to be run in the folder of the particles."""
    values = {
        "--o": folder.resolve() / "run",
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
        "--sym": "C1",
    }
    flags = [
        *("--auto_refine", "--split_random_halves", "--ctf", "--flatten_solvent", "--zero_mask"),
        *("--norm", "--scale", "--dont_check_norm", "--dont_combine_weights_via_disc"),
        *(["--external_reconstruct"] if external else []),
    ]
    pairs = [str(word) for pair in values.items() for word in pair]
    return ["relion_refine_mpi", *pairs, *flags]


def mpirun_command() -> list[str]:
    """`mpirun` for three ranks, with what Open MPI wants said as root or on few cores."""
    command = ["mpirun", "-n", str(RANKS)]
    if "Open MPI" in system.ask(["mpirun", "--version"], limit_s=30).stdout:
        if os.geteuid() == 0:
            command.append("--allow-run-as-root")
        if system.usable_cores() < RANKS:
            command.append("--oversubscribe")
    return command


def _environment(hook: str | None) -> dict[str, str]:
    """Environment in which RELION finds the hook, and the hook finds this very package."""
    package = str(Path(relion_external.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    environment = {key: value for key, value in os.environ.items() if key != hook_variable.NAME}
    return (
        environment
        if hook is None
        else environment | {hook_variable.NAME: hook, "PYTHONPATH": path}
    )


def _new_iterations(folder: Path, known: int, particles: int) -> Iterator[int]:
    """Iterations, from number `known` on, whose files are whole."""
    while _is_whole(folder, known, particles):
        yield known
        known += 1


def _is_whole(folder: Path, iteration: int, particles: int) -> bool:
    """Whether RELION has finished writing an iteration (the sampling file comes last)."""
    with suppress(FileNotFoundError):
        sampling = _output(folder, iteration, "sampling").read_text()
        rows = _output(folder, iteration, "data").read_text().count("@")
        return rows == particles and bool(re.search("rlnHealpixOrder", sampling))
    return False


def _output(folder: Path, iteration: int, kind: str) -> Path:
    return folder / f"run_it{iteration:03d}_{kind}.star"


def _particle_table(path: Path) -> pd.DataFrame:
    return star.read_blocks(path)["particles"].set_index("rlnImageName")


def _resolution(path: Path) -> float | None:
    block = star.read_blocks(path, first_only=True)["model_general"]
    value = star.number(block, _RESOLUTION, path)
    return value if np.isfinite(value) else None


def _origin_differences(table: pd.DataFrame, true: pd.DataFrame) -> NDArray[np.float64]:
    """Origins minus true origins (n, 2) in Å, without what a shift of the whole map explains.

    A map moved by t (x, y, z) asks each particle for the origin -(A t) in x and y.
    """
    difference = (table[ORIGINS] - true[ORIGINS]).to_numpy(dtype=np.float64)
    in_plane = euler_to_matrix(true[ANGLES])[:, :2].reshape(-1, 3)
    shift, *_ = np.linalg.lstsq(in_plane, difference.ravel(), rcond=None)
    return difference - (in_plane @ shift).reshape(-1, 2)
