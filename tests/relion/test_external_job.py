"""The External job in a project of RELION's: run by its pipeliner, and a whole refinement."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
import starfile

import relion_external
from relion_external import star

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

JOB = [sys.executable, "-m", "relion_external", "job"]
FINISHED = 2  # RELION 3.1's status of a process

REFINE = [
    *("--in_parts", "particles.star", "--in_3dref", "reference.mrc", "--particle_diameter", "176"),
    *("--ini_high", "30", "--healpix_order", "4", "--auto_local_healpix_order", "4", "--pad", "1"),
    *("--gpu", "cpu", "--j", "1", "--refine_args"),
]
REFINE_ARGS = (
    "pool=10,dont_check_norm,firstiter_cc=no,offset_range=3,random_seed=1,auto_ignore_angles,"
    "auto_resol_angles"
)


def environment() -> dict[str, str]:
    package = str(Path(relion_external.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def new_project(relion: Relion, folder: Path, *names: str) -> Path:
    """A project folder that holds links to some files of the shared set."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(relion.folder / name)
    return folder


# Run by RELION's pipeliner


@pytest.fixture(scope="module")
def project(relion: Relion, refined: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first job regularises the refined half-maps, and whose second follows it."""
    folder = tmp_path_factory.mktemp("pipeliner") / "project"
    new_project(relion, folder, refined.folder.name, "mask.mrc")
    (folder / "default_pipeline.star").write_text(
        "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n"
    )
    half1 = f"{refined.folder.name}/run_half1_class001_unfil.mrc"
    labels = {"particle_diameter": 176, "gpu": "cpu", "skip_spectral_trailing": ""}
    external = {"fn_exe": " ".join(JOB), "in_3dref": half1, "in_mask": "mask.mrc"}
    for number, (label, value) in enumerate(labels.items(), start=1):
        external |= {f"param{number}_label": label, f"param{number}_value": value}
    pipeliner(folder, "--addJob", "External", "--addJobOptions", options(external))
    follower = {"fn_in": "External/job001/half1_class001_unfil.mrc", "fn_mask": "mask.mrc"}
    pipeliner(folder, "--addJob", "PostProcess", "--addJobOptions", options(follower))
    for name in ("External/job001/", "PostProcess/job002/"):
        schedule = name.partition("/")[0]
        pipeliner(folder, "--RunJobs", name, "--schedule", schedule, "--sec_wait_after", "1")
    return folder


def options(values: dict[str, object]) -> str:
    return ";".join(f"{name} == {value}" for name, value in values.items())


def pipeliner(folder: Path, *words: str) -> None:
    command = ["nice", "relion_pipeliner", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_both_jobs_are_finished_for_relion(project: Path) -> None:
    for folder in ("External/job001", "PostProcess/job002"):
        ended = [path.name for path in (project / folder).glob("RELION_JOB_*")]
        assert ended == ["RELION_JOB_EXIT_SUCCESS"], (project / folder / "run.err").read_text()
    processes = pipeline(project)["pipeline_processes"]
    assert processes["rlnPipeLineProcessStatus"].tolist() == [FINISHED, FINISHED]


def test_outputs_are_nodes_and_edges_of_the_pipeline(project: Path) -> None:
    blocks = pipeline(project)
    table = blocks["pipeline_nodes"].set_index("rlnPipeLineNodeName")["rlnPipeLineNodeType"]
    outputs = {
        "External/job001/run_regularized.mrc": 6,
        "External/job001/run_cutoff.mrc": 12,
        "External/job001/run_mask.mrc": 7,
        "External/job001/run_report.pdf": 13,
        "External/job001/half1_class001_unfil.mrc": 10,
    }
    assert {name: kind for name, kind in table.items() if "job001" in name} == outputs
    edges = blocks["pipeline_output_edges"]
    ours = edges[edges["rlnPipeLineEdgeProcess"] == "External/job001/"]
    assert set(ours["rlnPipeLineEdgeToNode"]) == set(outputs)
    for name, kind in outputs.items():  # what the file browsers of RELION's GUI show
        assert (project / ".Nodes" / str(kind) / name).exists()


def test_relion_gave_its_own_words_unquoted(project: Path) -> None:
    note = (project / "External/job001/note.txt").read_text()
    assert "--particle_diameter 176 --gpu cpu --skip_spectral_trailing  --j 1" in note
    assert "--pipeline_control External/job001/" in note
    log = (project / "External/job001/run_regularize.log").read_text()
    assert "spectral trailing is off" in log


def test_the_next_job_is_fed_from_ours_and_measures_the_raw_half_maps(
    project: Path, refined: Run
) -> None:
    edges = pipeline(project)["pipeline_input_edges"]
    fed = edges[edges["rlnPipeLineEdgeProcess"] == "PostProcess/job002/"]
    assert "External/job001/half1_class001_unfil.mrc" in set(fed["rlnPipeLineEdgeFromNode"])
    curve = star.read_blocks(project / "PostProcess/job002/postprocess.star")["fsc"]
    direct = project / "direct"
    half1 = refined.folder / "run_half1_class001_unfil.mrc"
    command = ["relion_postprocess", "--i", half1, "--mask", "mask.mrc", "--o", direct]
    subprocess.run(command, cwd=project, capture_output=True, timeout=120, check=True)
    expected = star.read_blocks(direct.with_suffix(".star"))["fsc"]
    unmasked = "rlnFourierShellCorrelationUnmaskedMaps"
    np.testing.assert_array_equal(curve[unmasked], expected[unmasked])


def pipeline(project: Path) -> dict[str, object]:
    return starfile.read(project / "default_pipeline.star", always_dict=True)


# A whole refinement, which is aborted, continued, terminated and continued again


class RefinementJob:
    """One External job in refine mode, run as often as need be."""

    folder = Path("External/job001")

    def __init__(self, project: Path) -> None:
        self.project = project

    @contextlib.contextmanager
    def started(self, *more: str, args: str = REFINE_ARGS) -> Iterator[subprocess.Popen[bytes]]:
        """A run of the job, its output appended to run.out and run.err as RELION does."""
        path = self.project / self.folder
        path.mkdir(parents=True, exist_ok=True)
        command = ["nice", *JOB, "--o", f"{self.folder}/", *REFINE, args, *more]
        with (path / "run.out").open("ab") as out, (path / "run.err").open("ab") as err:
            process = subprocess.Popen(
                command, cwd=self.project, env=environment(), stdout=out, stderr=err
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def run(self, *more: str, args: str = REFINE_ARGS) -> int:
        with self.started(*more, args=args) as process:
            return process.wait(300)

    def wait_for(self, text: str, limit_s: float = 240) -> None:
        deadline = time.monotonic() + limit_s
        while text not in self.text("run.out"):
            assert time.monotonic() < deadline, self.text("run.err")
            time.sleep(0.1)

    def text(self, name: str) -> str:
        return (self.project / self.folder / name).read_text()

    def exit_files(self) -> list[str]:
        return [path.name for path in (self.project / self.folder).glob("RELION_JOB_*")]

    def processes(self) -> list[str]:
        """Names of the programs that still run in the project."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == self.project.resolve():
                    found.append((entry / "comm").read_text().strip())
        return found


@pytest.fixture(scope="module")
def refinement(relion: Relion, tmp_path_factory: pytest.TempPathFactory) -> RefinementJob:
    folder = tmp_path_factory.mktemp("refinement") / "project"
    names = ("particles.star", "particles.mrcs", "reference.mrc")
    return RefinementJob(new_project(relion, folder, *names))


@pytest.fixture(scope="module")
def aborted(refinement: RefinementJob) -> RefinementJob:
    with refinement.started() as process:
        refinement.wait_for("iteration 1,")
        (refinement.project / refinement.folder / "RELION_JOB_ABORT_NOW").touch()
        process.wait(30)
    return refinement


@pytest.fixture(scope="module")
def continued(aborted: RefinementJob) -> RefinementJob:
    """The job after a second run, ended by SIGTERM, and a third, which comes to its end."""
    with aborted.started() as process:
        aborted.wait_for("continuing after iteration")
        aborted.wait_for("iteration 2,")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert aborted.exit_files() == ["RELION_JOB_EXIT_FAILURE"]
    assert aborted.processes() == []
    assert aborted.run() == 0, aborted.text("run.err")
    return aborted


def test_an_option_that_relion_does_not_know_is_refused_at_once(refinement: RefinementJob) -> None:
    assert refinement.run(args=f"{REFINE_ARGS},nonsense=3") == 1
    assert "relion_refine does not take --nonsense here" in refinement.text("run.err")
    assert refinement.exit_files() == ["RELION_JOB_EXIT_FAILURE"]
    assert refinement.processes() == []


def test_abort_ends_relion_within_seconds(aborted: RefinementJob) -> None:
    assert aborted.exit_files() == ["RELION_JOB_EXIT_ABORTED"]
    assert aborted.processes() == []
    last_words = aborted.text("run.err").splitlines()[-1]
    assert last_words.startswith("relion-external: error: aborted, because")


def test_it_continues_to_the_joined_iteration(continued: RefinementJob) -> None:
    assert continued.exit_files() == ["RELION_JOB_EXIT_SUCCESS"]
    lines = [line for line in continued.text("run.out").splitlines() if " iteration " in line]
    starts = [line for line in lines if "continuing after iteration" in line]
    assert len(starts) == 2
    reports = [line for line in lines if line not in starts]
    numbers = [int(line.partition(" iteration ")[2].split(",")[0].split()[0]) for line in reports]
    assert numbers == list(range(1, len(numbers) + 1))  # each once, over three runs
    assert "(the last, joined), resolution" in reports[-1]
    assert all("local cutoff median" in line and line.endswith(" s") for line in reports)


def test_outputs_are_listed_with_their_types(continued: RefinementJob) -> None:
    table = starfile.read(continued.project / continued.folder / "RELION_OUTPUT_NODES.star")
    kinds = dict(zip(table["rlnPipeLineNodeName"], table["rlnPipeLineNodeType"], strict=True))
    folder = continued.folder
    expected = {
        f"{folder}/run_class001.mrc": 6,
        f"{folder}/run_half1_class001_unfil.mrc": 10,
        f"{folder}/run_data.star": 3,
        f"{folder}/run_external.pdf": 13,
    }
    assert expected.items() <= kinds.items()
    (filtered,) = (name for name in kinds if name.endswith("_nonuniform.mrc"))
    assert kinds[filtered] == 6
    assert mrcfile.read(continued.project / filtered).std() > 0


def test_a_finished_refinement_is_not_run_again(continued: RefinementJob) -> None:
    assert continued.run() == 0
    assert "is finished already" in continued.text("run.out")
    assert continued.run("--sym", "C2") == 1
    assert "is finished, and was made with another --sym" in continued.text("run.err")
    assert continued.exit_files() == ["RELION_JOB_EXIT_FAILURE"]
