"""The External job without RELION: what comes in, what goes out, how it ends."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from relion_external import cli
from relion_external.commands import job
from tests.relion_external.conftest import VOXEL_SIZE

EXIT = "RELION_JOB_EXIT_"
FOLDER = Path("External/job007")


@dataclass(frozen=True)
class Ended:
    """What a job said, and the exit files it left."""

    status: int
    stdout: str
    stderr: str

    @property
    def exit_files(self) -> list[str]:
        return [path.name for path in FOLDER.glob("RELION_JOB_*")]

    @property
    def nodes(self) -> dict[str, tuple[str, int]]:
        table = starfile.read(FOLDER / "RELION_OUTPUT_NODES.star")
        return {Path(name).name: (label, number) for name, label, number in table.to_numpy()}


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the job as RELION does, in this process."""

    def run(*words: object) -> Ended:
        line = ["job", "--o", f"{FOLDER}/", *map(str, words)]
        try:
            status = cli.main([*line, "--j", "1", "--pipeline_control", f"{FOLDER}/"])
        except SystemExit as end:
            status = int(end.code or 0)
        return Ended(status, *capsys.readouterr())

    return run


def test_regularised_map_and_raw_half_maps_are_handed_to_relion(run: Run, half1: Path) -> None:
    ended = run("--in_3dref", half1, "--particle_diameter", 100, "--gpu", "cpu")
    assert ended.status == 0, ended.stderr
    assert ended.exit_files == [f"{EXIT}SUCCESS"]
    nodes = ended.nodes
    assert nodes["run_regularized.mrc"] == ("DensityMap.mrc", 6)
    assert nodes["run_cutoff.mrc"] == ("Image3D.mrc.relion.localresmap", 12)
    assert nodes["run_report.pdf"] == ("LogFile.pdf.relion.external", 13)
    half_map = ("DensityMap.mrc.relion.halfmap.refine3d", 10)
    assert nodes["half1_class001_unfil.mrc"] == half_map
    assert not [name for name in nodes if "regularized" in name and "half" in name]
    for half in (1, 2):
        handed_on = (FOLDER / f"half{half}_class001_unfil.mrc").read_bytes()
        assert handed_on == half1.with_name(half1.name.replace("half1", f"half{half}")).read_bytes()


def test_either_half_may_be_given(run: Run, half1: Path) -> None:
    half2 = half1.with_name(half1.name.replace("half1", "half2"))
    results = []
    for half in (half1, half2):
        assert run("--in_3dref", half, "--particle_diameter", 100, "--gpu", "cpu").status == 0
        results.append(mrcfile.read(FOLDER / "run_half1_regularized.mrc"))
        assert (FOLDER / "half1_class001_unfil.mrc").resolve() == half1.resolve()
    np.testing.assert_array_equal(*results)


def test_packed_half_maps_are_unpacked_as_they_are(run: Run, half1: Path) -> None:
    half2 = half1.with_name(half1.name.replace("half1", "half2"))
    for half, path in ((1, half1), (2, half2)):
        Path(f"emd_1_half_map_{half}.map.gz").write_bytes(gzip.compress(path.read_bytes()))
    ended = run("--in_3dref", "emd_1_half_map_2.map.gz", "--particle_diameter", 100, "--gpu", "cpu")
    assert ended.status == 0, ended.stderr
    for half, path in ((1, half1), (2, half2)):
        with mrcfile.open(FOLDER / f"half{half}_class001_unfil.mrc") as mrc:
            np.testing.assert_array_equal(mrc.data, mrcfile.read(path))
            assert mrc.voxel_size.x == pytest.approx(VOXEL_SIZE)


def test_half_maps_in_the_jobs_own_folder_survive_it(run: Run, half1: Path) -> None:
    """They may lie under the very names under which the raw half-maps are handed on."""
    FOLDER.mkdir(parents=True)
    paths = [FOLDER / f"half{half}_class001_unfil.mrc" for half in (1, 2)]
    for half, path in enumerate(paths, start=1):
        half1.with_name(half1.name.replace("half1", f"half{half}")).rename(path)
    before = [path.read_bytes() for path in paths]
    ended = run("--in_3dref", paths[0], "--particle_diameter", 100, "--gpu", "cpu")
    assert ended.status == 0, ended.stderr
    assert [path.read_bytes() for path in paths] == before


def test_an_output_of_the_job_is_no_input_to_it(run: Run, half1: Path) -> None:
    FOLDER.mkdir(parents=True)
    mask = FOLDER / "run_mask.mrc"
    mask.write_bytes(half1.read_bytes())
    ended = run("--in_3dref", half1, "--in_mask", mask, "--gpu", "cpu")
    assert ended.status == 1
    assert f"{mask} is an output of this job itself" in ended.stderr
    assert mask.read_bytes() == half1.read_bytes()


def test_a_single_half_map_is_not_handed_on(run: Run, half1: Path) -> None:
    half1 = half1.rename("only.mrc")
    ended = run("--in_3dref", half1, "--particle_diameter", 50, "--gpu", "cpu")
    assert ended.status == 0, ended.stderr
    assert set(ended.nodes) == {"run_regularized.mrc", "run_cutoff.mrc"}


def test_stale_outputs_are_not_passed_off_as_new(run: Run, half1: Path) -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "run_sharpened.mrc").touch()  # a map that 4 Å voxels cannot give
    ended = run("--in_3dref", half1, "--particle_diameter", 100, "--gpu", "cpu")
    assert ended.status == 0, ended.stderr
    assert "run_sharpened.mrc" not in ended.nodes


def test_labels_reach_the_regulariser(
    run: Run, half1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}
    function = "relion_external.job_regularize.regularize_half_maps"
    monkeypatch.setattr(function, lambda options: seen.update(vars(options)))
    labels = ["--skip_spectral_trailing", "--awf", 2, "--order", 4, "--levels", 9, "--sym", "D2"]
    mask = Path("mask.mrc")
    assert run("--in_3dref", half1, "--half2", "other.mrc", "--in_mask", mask, *labels).status == 0
    expected = {"skip_spectral_trailing": True, "awf": 2, "order": 4, "levels": 9, "sym": "D2"}
    expected |= {"mask": mask, "i2": Path("other.mrc"), "j": 1, "particle_diameter": None}
    assert {key: seen[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--awff", 3], "--awff is not an option; the closest is --awf"),
        (["--particle-diameter", 3], "the closest is --particle_diameter"),
        (["--gridding", "Yes"], "'Yes' was not expected (a flag takes no value)"),
        (["--awf", "x"], "argument --awf: expected a number above 0, not 'x'"),
        (["--awf"], "argument --awf: expected one argument"),
        ([], "--in_3dref is missing: give a raw half-map"),
        (["--in_3dref", "none_half1.mrc"], "none_half1.mrc does not exist"),
        (["--in_3dref", "a", "--in_mask", "b", "--mask", "c"], "both --in_mask and --mask"),
        (["--in_3dref", "a", "--pad", 1], "--pad is for --mode refine, and this is regularize"),
        (["--in_3dref", "a", "--clean"], "--clean is for --mode refine, and this is regularize"),
        (["--in_parts", "a", "--half2", "b"], "--half2 is for --mode regularize"),
        (["--in_3dref", "a", "--tune_every", 2], "--tune_every is for --mode refine"),
        (["--mode", "regularize", "--in_parts", "a"], "--in_parts is for --mode refine"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failure(
    run: Run, half1: Path, words: list[object], sentence: str
) -> None:
    ended = run(*words)
    assert ended.status in (1, 2)
    assert sentence in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert ended.exit_files == [f"{EXIT}FAILURE"]


def test_an_unexpected_error_is_a_failure_too(
    run: Run, half1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(options: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("relion_external.job_regularize.regularize_half_maps", break_down)
    ended = run("--in_3dref", half1)
    assert (ended.status, ended.exit_files) == (1, [f"{EXIT}FAILURE"])


def test_inputs_that_it_has_no_use_for_are_named(run: Run, half1: Path) -> None:
    ended = run("--in_3dref", half1, "--in_mics", "x.star", "--in_coords", "y.star", "--gpu", "cpu")
    assert "not used: --in_mics, --in_coords" in ended.stdout
    assert ended.exit_files == [f"{EXIT}SUCCESS"]


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_leave_nothing(run: Run, half1: Path, word: str) -> None:
    assert run(word).status == 0
    assert not FOLDER.exists()


def test_the_script_for_relions_gui_is_the_same_command(
    half1: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["relion-external-job", "--o", f"{FOLDER}/"])
    assert job.main() == 1
    assert "--in_3dref is missing" in capsys.readouterr().err
    assert (FOLDER / f"{EXIT}FAILURE").exists()
