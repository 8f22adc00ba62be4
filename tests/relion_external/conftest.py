"""A RELION project folder with simulated hook calls, and the command line that answers them."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mrcfile
import numpy as np
import pytest

from plugin_core.padded_grid import PaddedGrid
from plugin_core.simulation.accumulators import accumulate
from relion_external.cli import main
from relion_external.simulated_call import write_call

GRID = PaddedGrid(box=16, padding=2, max_shell=7)
VOXEL_SIZE, PARTICLE_DIAMETER = 4.0, 40.0
WEIGHT = 250.0  # makes noise of standard deviation 0.13 in a map whose maximum is about 1
FSC = np.where(np.arange(9) <= 7, 1 / (1 + np.exp((np.arange(9) - 5.0) / 0.6)), 0)


def true_map(box: int) -> np.ndarray:
    """A sharp and a blurred blob."""
    axis = np.arange(box) - box // 2
    radius2 = [((axis - x) ** 2)[:, None, None] + (axis**2)[:, None] + axis**2 for x in (-3, 3)]
    return (np.exp(-radius2[0] / 2) + np.exp(-radius2[1] / 10)).astype(np.float32)


@dataclass(frozen=True)
class Project:
    """A RELION output folder in the working directory, with calls of the third iteration.

    Attributes
    ----------
    folder : Path
        Relative, as RELION gives it: ``Refine3D/job001``.
    truth : (16, 16, 16) float32
        The map of which all calls are noisy half-maps.
    fsc : (9,) float64
        The curve in their STAR files: it falls below 0.143 after shell 6 and is 0 beyond shell 7.
    """

    folder: Path
    truth: ClassVar[np.ndarray] = true_map(GRID.box)
    fsc: ClassVar[np.ndarray] = FSC

    def call(
        self,
        name: str = "run_it003_half1_class001",
        *,
        seed: int = 1,
        grid: PaddedGrid = GRID,
        fsc: np.ndarray = FSC,
        voxel_size: float | None = VOXEL_SIZE,
        particle_diameter: float | None = PARTICLE_DIAMETER,
    ) -> Path:
        """Write the files of a call, its noise drawn with `seed`; return the STAR file."""
        weight = np.full(grid.max_shell + 1, WEIGHT)
        arrays = accumulate(true_map(grid.box), grid, weight, np.random.default_rng(seed))
        return write_call(
            self.folder,
            name,
            arrays,
            grid,
            tau2=1e-2 * np.exp(-np.arange(grid.box // 2 + 1.0)),
            fsc=fsc,
            voxel_size=voxel_size,
            particle_diameter=particle_diameter,
        )

    def previous_iteration(
        self,
        *,
        stem: str = "run_it002",
        model: str = "half1_model",
        command_line: str = "--o Refine3D/job001/run --auto_refine",
        optimiser: str = f"_rlnParticleDiameter {PARTICLE_DIAMETER}\n",
        dimension: int = 2,
    ) -> None:
        """Write the optimiser and the model file that RELION leaves after an iteration."""
        (self.folder / f"{stem}_optimiser.star").write_text(
            f"# RELION optimiser; version 3.1.3\n# {command_line} \n\n# version 30001\n\n"
            f"data_optimiser_general\n\n_rlnCurrentIteration 2\n{optimiser} \n"
        )
        (self.folder / f"{stem}_{model}.star").write_text(
            "\n# version 30001\n\ndata_model_general\n\n_rlnReferenceDimensionality 3\n"
            f"_rlnDataDimensionality {dimension}\n_rlnPixelSize {VOXEL_SIZE}\n \n"
        )

    def write(self, name: str, volume: np.ndarray) -> Path:
        """Write a map into the folder."""
        path = self.folder / name
        mrcfile.write(path, volume.astype(np.float32), voxel_size=VOXEL_SIZE, overwrite=True)
        return path

    def history(self) -> list[dict[str, Any]]:
        lines = (self.folder / "run_external.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty output folder; its project folder is the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = Path("Refine3D/job001")
    folder.mkdir(parents=True)
    return Project(folder)


@dataclass(frozen=True)
class Answered:
    """What the hook did about a call."""

    status: int
    stdout: str
    stderr: str
    star: Path

    @property
    def result(self) -> Path:
        return self.star.with_suffix(".mrc")

    @property
    def log(self) -> str:
        return self.star.with_suffix(".log").read_text()

    def map(self, suffix: str = "") -> np.ndarray:
        """The result, or a map beside it: ``map("_cutoff")``."""
        return mrcfile.read(self.result.with_name(f"{self.result.stem}{suffix}.mrc"))


@pytest.fixture
def reconstruct(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answered]:
    """Run ``relion-external reconstruct`` on the CPU on one thread, in this process."""

    def run(star: Path, *options: object) -> Answered:
        capsys.readouterr()
        arguments = ["--gpu", "cpu", "--j", "1", *map(str, options), str(star)]
        status = main(["reconstruct", *arguments])
        return Answered(status, *capsys.readouterr(), star)

    return run


@pytest.fixture
def succeed(reconstruct: Callable[..., Answered]) -> Callable[..., Answered]:
    """Like `reconstruct`, for calls that must succeed without a word on stderr."""

    def run(star: Path, *options: object) -> Answered:
        answered = reconstruct(star, *options)
        assert (answered.status, answered.stderr) == (0, "")
        return answered

    return run


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Path]:
    """Return a function that unpacks a recorded call; STAR paths start where it does."""
    monkeypatch.chdir(tmp_path)

    def unpack(source: Path, call: str) -> Path:
        if not source.is_dir():
            pytest.skip(f"no recorded calls at {source}")
        folder = Path(call).parent
        folder.mkdir(exist_ok=True)
        for path in (source / folder).iterdir():
            if path.suffix != ".gz":
                shutil.copyfile(path, folder / path.name)
            elif path.name.startswith(Path(call).name):
                (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        return Path(f"{call}_external_reconstruct.star")

    return unpack


@pytest.fixture
def half1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first of two noisy half-maps in a project folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    axis = np.arange(32) - 16
    radius2 = [((axis - x) ** 2)[:, None, None] + (axis**2)[:, None] + axis**2 for x in (-4, 4)]
    truth = np.exp(-radius2[0] / 2) + np.exp(-radius2[1] / 10)
    rng = np.random.default_rng(1)
    Path("Refine3D/job001").mkdir(parents=True)
    for half in (1, 2):
        volume = (truth + 0.05 * rng.standard_normal(truth.shape)).astype(np.float32)
        path = Path(f"Refine3D/job001/run_half{half}_class001_unfil.mrc")
        mrcfile.write(path, volume, voxel_size=VOXEL_SIZE)
    return Path("Refine3D/job001/run_half1_class001_unfil.mrc")
