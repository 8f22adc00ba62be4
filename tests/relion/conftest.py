"""RELION's real programs, run on one small simulated particle set that all tests here share."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import relion_external
from plugin_core import noise
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import regularize
from relion_external import hook_variable, star
from relion_external.cli import main
from relion_external.mpi import mpirun_command
from relion_external.simulated_set import (
    SimulatedSet,
    SimulationOptions,
    demo_specimen,
    write_simulated_set,
)
from relion_external.volumes import write_map

SIMULATION = SimulationOptions(
    particles=300, box=48, voxel_size=4.5, signal_to_noise=0.1, pose_error=6.0
)
PARTICLE_DIAMETER = 176.0  # Å

COMMON = [
    *("--ctf", "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--dont_check_norm"),
    *("--ini_high", "30", "--sym", "C1", "--oversampling", "1", "--offset_range", "3"),
    *("--offset_step", "2", "--pool", "10", "--j", "1", "--random_seed", "1"),
    *("--particle_diameter", str(PARTICLE_DIAMETER), "--dont_combine_weights_via_disc"),
    "--skip_gridding",
]
# Local searches around the poses of the particle table from the first iteration: seconds each.
AUTO_REFINE = [
    *("--auto_refine", "--split_random_halves", "--low_resol_join_halves", "40", "--pad", "1"),
    *("--healpix_order", "4", "--auto_local_healpix_order", "4"),
    *("--auto_ignore_angles", "--auto_resol_angles"),
]
CLASS3D = ["--K", "2", "--healpix_order", "3", "--sigma_ang", "3", "--pad", "2"]

HOOK = [sys.executable, "-m", "relion_external", "reconstruct"]


@dataclass(frozen=True)
class Run:
    """One run of a RELION program that has ended, and the folder it wrote to."""

    folder: Path
    status: int
    stdout: str
    stderr: str

    def succeeded(self) -> Run:
        assert self.status == 0, f"{self.stdout[-1000:]}\n{self.stderr[-3000:]}"
        return self

    def calls(self) -> list[str]:
        """The hook calls that were made, such as ``run_it001_half1_class001``."""
        end = "_external_reconstruct.star"
        return sorted(path.name.removesuffix(end) for path in self.folder.glob(f"*{end}"))

    def map(self, name: str) -> np.ndarray:
        return mrcfile.read(self.folder / f"{name}.mrc")

    def result(self, call: str) -> np.ndarray:
        """The map that the hook answered."""
        return self.map(f"{call}_external_reconstruct")

    def log(self, call: str) -> str:
        return (self.folder / f"{call}_external_reconstruct.log").read_text()

    def model(self, name: str, block: str = "model_general") -> Any:
        return star.read_blocks(self.folder / f"{name}_model.star")[block]

    def answer_again(
        self, call: str, copy: Path, *options: str, program: list[str] = HOOK, without: str = ""
    ) -> np.ndarray:
        """What the hook or another program answers to a call of this run, in a copy of its folder.

        The copy lacks the earlier answers, and files that match the pattern `without`.
        """
        folder = copy / self.folder.name
        left_out = shutil.ignore_patterns("*_reconstruct.mrc", without)
        shutil.copytree(self.folder, folder, ignore=left_out)
        for mask in self.folder.parent.glob("mask.mrc"):  # RELION may have named it
            shutil.copy(mask, copy)
        relative = f"{folder.name}/{call}_external_reconstruct.star"
        status, _, stderr = run_limited([*program, relative, *options], copy)
        assert status == 0, stderr
        return mrcfile.read(folder / f"{call}_external_reconstruct.mrc")


class Relion:
    """Runs relion_refine in the folder of `particles`; each run writes to its own folder there."""

    def __init__(self, particles: SimulatedSet) -> None:
        self.particles = particles
        self.folder = particles.folder

    def auto_refine(
        self, output: str, *options: str, hook: str | None = "", program: list[str] = HOOK
    ) -> Run:
        options = (*self._input(), *COMMON, *AUTO_REFINE, *options)
        return self.refine(output, *options, hook=hook, program=program)

    def class3d(self, output: str, *options: str, hook: str | None = "", mpi: bool = False) -> Run:
        options = (*self._input(), *COMMON, *CLASS3D, *options)
        return self.refine(output, *options, hook=hook, mpi=mpi)

    def refine(
        self,
        output: str,
        *options: str,
        hook: str | None = "",
        mpi: bool = True,
        program: list[str] = HOOK,
    ) -> Run:
        """Run relion_refine with the root `output`, such as ``folder/run``, or none if empty.

        `hook` holds options of the hook `program`; with None, RELION reconstructs by itself. A
        continued run has to remember by itself that there is a hook.
        """
        folder = (self.folder / output).parent if output else self.folder
        folder.mkdir(exist_ok=True)
        refine = [*mpirun_command(), "relion_refine_mpi"] if mpi else ["relion_refine"]
        told = hook is None or "--continue" in options
        external = [] if told else ["--external_reconstruct"]
        root = ["--o", output] if output else []
        command = [*refine, *root, *options, *external]
        return Run(folder, *run_limited(command, self.folder, f"{shlex.join(program)} {hook}"))

    def _input(self) -> tuple[str, ...]:
        return "--i", self.particles.particles.name, "--ref", self.particles.reference.name


def run_limited(
    command: list[str], folder: Path, hook: str = "", limit_s: float = 500
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command; it and all it started end with this call."""
    package = str(Path(relion_external.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        ["nice", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, hook_variable.NAME: hook},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except BaseException:
            process.terminate()  # mpirun then ends its ranks, which are in groups of their own
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, stdout, stderr


@pytest.fixture(scope="session")
def relion(tmp_path_factory: pytest.TempPathFactory) -> Relion:
    """A way to run RELION on the shared set, beside which lies ``mask.mrc`` of the protein."""
    folder = tmp_path_factory.mktemp("relion")
    particles = write_simulated_set(folder, SIMULATION, specimen=demo_specimen(in_belt=False))
    smooth = gaussian_filter(mrcfile.read(particles.true_map), 2)
    mask = gaussian_filter((smooth > 0.1 * smooth.max()).astype(np.float32), 1.5)
    write_map(particles.folder / "mask.mrc", mask.clip(0, 1), SIMULATION.voxel_size, "mask")
    return Relion(particles)


@pytest.fixture(scope="session")
def refined(relion: Relion) -> Run:
    """An auto-refinement with the hook through the joined last iteration, padding 1."""
    return relion.auto_refine("refined/run").succeeded()


@pytest.fixture(scope="session")
def classified(relion: Relion) -> Run:
    """Three iterations of a classification into two classes with the hook, padding 2."""
    return relion.class3d("classified/run", "--iter", "3").succeeded()


@pytest.fixture(scope="session")
def truth_mask(relion: Relion) -> np.ndarray:
    """Soft mask of the protein."""
    return mrcfile.read(relion.folder / "mask.mrc")


@pytest.fixture(scope="session")
def truth(relion: Relion) -> np.ndarray:
    return mrcfile.read(relion.particles.true_map)


@pytest.fixture
def given_to_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Run, str], RegularizerInput]:
    """What the hook gives the local filter when it answers a call of a run once more."""

    def answer(run: Run, call: str) -> RegularizerInput:
        shutil.copytree(run.folder, tmp_path / run.folder.name)
        shutil.copy(run.folder.parent / "mask.mrc", tmp_path)
        monkeypatch.chdir(tmp_path)
        given: list[RegularizerInput] = []

        def spy(inputs: RegularizerInput, parameters: Any) -> Any:
            given.append(inputs)
            return regularize(inputs, parameters)

        monkeypatch.setattr("relion_external.hook.regularize", spy)
        name = f"{run.folder.name}/{call}_external_reconstruct.star"
        assert main(["reconstruct", name]) == 0
        (inputs,) = given
        return inputs

    return answer


@pytest.fixture
def noise_ratio(
    truth_mask: np.ndarray, given_to_filter: Callable[[Run, str], RegularizerInput]
) -> Callable[[Run, str], np.ndarray]:
    """Noise around the protein over the noise that the hook reckons with, shell by shell."""

    def ratio(run: Run, call: str) -> np.ndarray:
        inputs = given_to_filter(run, call)
        reckoned = inputs.noise_power
        return noise.from_solvent(inputs.half_map, truth_mask)[: len(reckoned)] / reckoned

    return ratio
