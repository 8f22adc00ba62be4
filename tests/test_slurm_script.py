"""The SLURM script in docs, run by bash with stand-ins for SLURM, its modules and RELION."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from relion_external import hook_variable

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "refine.slurm"
CORES = 8


class Submitted:
    """A folder in which the script is run, and what it did there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "relion-external" / "bin" / "relion-external"
        self._executable(self.program, 'echo "doctor $*" >> calls')
        self._executable(folder / "bin" / "srun", 'echo "srun $*" >> calls; env > srun_environment')

    def _executable(self, path: Path, body: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def install(self, body: str) -> None:
        """Put another program in the place of relion-external."""
        self._executable(self.program, body)

    def run(self) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.folder),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
            "SLURM_CPUS_PER_TASK": str(CORES),
            # As many sites have it.
            "BASH_FUNC_module%%": '() { test "$1" = load && echo "$NOT_SET_ANYWHERE"; }',
        }
        command = ["bash", str(SCRIPT)]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def submitted(tmp_path: Path) -> Submitted:
    return Submitted(tmp_path)


def test_the_doctor_comes_before_relion(submitted: Submitted) -> None:
    done = submitted.run()
    assert (done.returncode, done.stderr) == (0, "")
    doctor, srun = submitted.calls
    assert doctor == "doctor doctor --box 256"
    words = shlex.split(srun)
    assert words[:3] == ["srun", "--mpi=pmix", "relion_refine_mpi"]
    assert words[-1] == "--external_reconstruct"
    output = Path(words[words.index("--o") + 1])
    assert (submitted.folder / output).parent.is_dir()
    assert int(words[words.index("--j") + 1]) == CORES


def test_ranks_get_the_cores_and_the_hook(submitted: Submitted) -> None:
    submitted.run()
    lines = (submitted.folder / "srun_environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["SRUN_CPUS_PER_TASK"] == str(CORES)
    value = environment[hook_variable.NAME]
    assert value == f"{submitted.program} reconstruct --gpu 0,1"
    options = hook_variable.hook_options(value)
    assert options is not None
    assert options.gpu == "0,1"


def test_a_hook_that_cannot_run_ends_the_job_before_relion_starts(submitted: Submitted) -> None:
    submitted.install(f'exec {shlex.quote(sys.executable)} -m relion_external "$@"')
    done = submitted.run()
    assert done.returncode == 1
    assert "the hook would fail: --gpu 1 was asked for" in " ".join(done.stdout.split())
    assert submitted.calls == []


def test_slurm_needs_no_folder_for_its_output() -> None:
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", SCRIPT.read_text(), re.MULTILINE))
    assert directives["cpus-per-task"] == str(CORES)
    for stream in ("output", "error"):
        assert "/" not in directives[stream]
        assert "%j" in directives[stream]
