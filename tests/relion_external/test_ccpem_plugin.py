"""The CCP-EM Pipeliner's job, where the pipeliner is installed: ``pip install '.[ccpem]'``."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pipeliner")

from pipeliner.api.manage_project import PipelinerProject
from pipeliner.job_factory import job_from_dict

from relion_external.cli import command_parser

if TYPE_CHECKING:
    from pipeliner.pipeliner_job import PipelinerJob

TYPE = "relion_external.postprocess.local_regularization"

pytestmark = pytest.mark.skipif(
    not metadata.entry_points(group="ccpem_pipeliner.jobs", name=TYPE),
    reason="this package is not installed together with the pipeliner",
)


def make(half1: Path, **values: Any) -> PipelinerJob:
    half2 = str(half1).replace("half1", "half2")
    inputs = {"half_map_1": str(half1), "half_map_2": half2, "nr_threads": 1, "gpu": "cpu"}
    job = job_from_dict({"_rlnJobTypeLabel": TYPE} | inputs | values)
    job.output_dir = "RelionExternal/job001/"
    return job


def messages(job: PipelinerJob) -> list[tuple[str, str]]:
    return [(result.type, result.message) for result in job.validate_joboptions()]


def test_the_command_is_one_that_the_program_understands(half1: Path) -> None:
    job = make(half1, mask="mask.mrc", risk="cross-half", awf=2.5, skip_spectral_trailing=True)
    (command,) = job.get_commands()
    program, name, *words = command.get_final_command(job.output_dir)
    assert Path(program).name == "relion-external"
    args = command_parser(name).parse_args(words)
    assert (args.i, args.i2) == (half1, Path(str(half1).replace("half1", "half2")))
    assert args.o == Path("RelionExternal/job001/run")
    assert (args.mask, args.particle_diameter) == (Path("mask.mrc"), None)
    assert (args.risk, args.awf, args.skip_spectral_trailing) == ("cross-half", 2.5, True)
    assert (args.gpu, args.j, args.sym) == ("cpu", 1, "C1")


def test_only_the_options_of_the_chosen_method_are_given(half1: Path) -> None:
    for method, given, other in (
        ("nonuniform", "--risk", "--weights"),
        ("denoiser", "--weights", "--risk"),
    ):
        (command,) = make(half1, method=method, weights="w.pt").get_commands()
        assert given in command.cmd
        assert other not in command.cmd


def test_additional_arguments_are_passed_on(half1: Path) -> None:
    (command,) = make(half1, other_args="--levels 30 --order 4").get_commands()
    assert list(command.cmd[-4:]) == ["--levels", "30", "--order", "4"]


def test_what_is_wrong_is_said_before_the_job_is_run(half1: Path) -> None:
    assert messages(make(half1)) == []
    assert ("error", "These are the same file") in messages(make(half1, half_map_2=str(half1)))
    both = make(half1, mask=str(half1), particle_diameter=100)
    assert ("warning", "With a mask, it is not used") in messages(both)
    assert [kind for kind, _ in messages(make(half1, half_map_2=""))] == ["error"]


def test_a_job_runs_and_its_outputs_are_nodes(half1: Path) -> None:
    project = PipelinerProject(make_new_project=True)
    job = make(half1, particle_diameter=100)
    assert job.jobinfo.is_available
    project.run_job(job, run_in_foreground=True)
    folder = Path(job.output_dir)
    assert project.wait_for_job_to_finish(job, timeout=120) == "Succeeded", (
        folder / "run.err"
    ).read_text()
    nodes = {Path(node.name).name: node.type for node in job.output_nodes}
    assert nodes == {
        "run_regularized.mrc": "DensityMap.mrc.relion_external.regularized",
        "run_cutoff.mrc": "Image3D.mrc.relion_external.localresmap",
        "run_report.pdf": "LogFile.pdf.relion_external.report",
        "run.cxc": "VisualisationScript.cxc.chimerax",
        "run_mask.mrc": "Mask3D.mrc.relion_external",
    }
    assert all((folder / name).exists() for name in nodes)
    shown = job.create_results_display()
    assert shown[0].title == "Report"
    assert "pending" not in [each.dobj_type for each in shown]
    maps = [each.title for each in shown if each.dobj_type == "mapmodel"]
    assert len(maps) == 2
