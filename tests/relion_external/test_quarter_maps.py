"""The risk quarter: which particles go into which map, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

COUNT = 41
PREVIOUS = "run_it002"

# Stands in for relion_reconstruct: copies a map and keeps what it was told.
PROGRAM = """#!/bin/sh
echo "$PWD $@" >> commands.txt
env | grep -c -E "^(OMPI|PMIX)_" >> mpi.txt
cp "$2" "quarters_$(wc -l < commands.txt).star"
{deed}
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a stand-in for relion_reconstruct on the PATH; returns how to change what it does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "relion_reconstruct"

    def does(deed: str) -> None:
        path.write_text(PROGRAM.format(deed=deed))
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    does('cp "map_$(wc -l < commands.txt).mrc" "$4"')
    return does


@pytest.fixture
def call(project, program) -> Path:
    """A call of half-set 1 with the previous iteration's files, and two maps to be made."""
    particles = f"_rlnExperimentalDataStarFile {project.folder}/{PREVIOUS}_data.star\n"
    sampling = f"_rlnOrientSamplingStarFile {project.folder}/{PREVIOUS}_sampling.star\n"
    project.previous_iteration(optimiser=f"_rlnParticleDiameter 40\n{particles}{sampling}")
    (project.folder / f"{PREVIOUS}_sampling.star").write_text(
        "\ndata_sampling_general\n\n_rlnSymmetryGroup D2\n \n"
    )
    write_particles(project, half_sets(COUNT))
    for number in (1, 2):
        noise = np.random.default_rng(number).standard_normal((16, 16, 16))
        mrcfile.write(f"map_{number}.mrc", (project.truth + 0.2 * noise).astype(np.float32))
    return project.call()


def half_sets(count: int) -> np.ndarray:
    return np.arange(2 * count) % 2 + 1


def write_particles(project, half_set: np.ndarray | None) -> None:
    names = [f"{n:06d}@stack.mrcs" for n in range(1, 2 * COUNT + 1)]
    table = pd.DataFrame({"rlnImageName": names, "rlnAngleRot": 1.5})
    if half_set is not None:
        table["rlnRandomSubset"] = half_set
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]})
    path = project.folder / f"{PREVIOUS}_data.star"
    starfile.write({"optics": optics, "particles": table}, path, overwrite=True)


def refused(reconstruct, call: Path, *options: object) -> str:
    answered = reconstruct(call, "--risk", "quarter", *options)
    assert answered.status == 1
    assert not answered.result.exists()
    assert not list(call.parent.glob("*quarters_*"))
    (sentence,) = answered.stderr.splitlines()
    return sentence


def particles_of_first_quarter() -> list[str]:
    return list(starfile.read("quarters_1.star")["particles"]["rlnImageName"])


def test_each_particle_of_this_half_set_is_in_one_quarter(call, succeed):
    succeed(call, "--risk", "quarter")
    quarters = [starfile.read(f"quarters_{number}.star")["particles"] for number in (1, 2)]
    assert [len(quarter) for quarter in quarters] == [21, 20]
    together = pd.concat(quarters)
    assert (together["rlnRandomSubset"] == 1).all()
    assert together["rlnImageName"].nunique() == COUNT


def test_the_quarters_are_reconstructed_as_the_half_map(call, succeed, tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    succeed(call, "--risk", "quarter")
    first, second = Path("commands.txt").read_text().splitlines()
    assert first.startswith(f"{tmp_path} ")  # where image names start from
    for word in ("--ctf", "--skip_gridding", "--pad 2", "--sym D2", "--maxres 9.1429"):
        assert word in first
        assert word in second
    assert Path("mpi.txt").read_text().split() == ["0", "0"]


def test_the_cutoffs_are_those_on_which_the_quarter_maps_agree(call, succeed, project):
    answered = succeed(call, "--risk", "quarter")
    agreed = answered.map()
    assert project.history()[-1]["risk"] == "quarter"
    assert "quarter-map 1: 21 particles of Refine3D/job001/run_it002_data.star" in answered.log
    for number in (1, 2):  # maps of nothing but noise agree on nothing
        noise = np.random.default_rng(10 + number).standard_normal((16, 16, 16))
        mrcfile.write(f"map_{number}.mrc", noise.astype(np.float32), overwrite=True)
    Path("commands.txt").unlink()
    smooth = succeed(call, "--risk", "quarter").map()
    assert np.std(smooth) < 0.8 * np.std(agreed)


def test_nothing_is_left_beside_the_answer(call, succeed):
    succeed(call, "--risk", "quarter")
    assert not list(call.parent.glob("*quarter*"))


def test_the_same_call_draws_the_same_quarters_and_another_iteration_others(call, succeed, project):
    succeed(call, "--risk", "quarter")
    first = particles_of_first_quarter()
    Path("commands.txt").unlink()
    succeed(call, "--risk", "quarter")
    assert particles_of_first_quarter() == first
    for path in project.folder.glob(f"{PREVIOUS}_*.star"):
        path.rename(path.with_name(path.name.replace("it002", "it003")))
    optimiser = project.folder / "run_it003_optimiser.star"
    optimiser.write_text(optimiser.read_text().replace("it002", "it003"))
    Path("commands.txt").unlink()
    succeed(project.call("run_it004_half1_class001"), "--risk", "quarter")
    assert particles_of_first_quarter() != first


def test_the_other_half_set_has_no_influence(call, succeed, project):
    expected = succeed(call, "--risk", "quarter").map()
    project.call("run_it003_half2_class001", seed=9)
    garbage = project.folder / "run_it003_half2_class001_unfil.mrc"
    garbage.write_bytes(b"garbage")
    Path("commands.txt").unlink()
    np.testing.assert_array_equal(succeed(call, "--risk", "quarter").map(), expected)


def test_before_the_first_poses_the_noise_judges_and_it_is_said(project, program, succeed):
    project.previous_iteration(stem="run_it000")
    answered = succeed(project.call("run_it001_half1_class001"), "--risk", "quarter")
    assert "nonuniform (split-noise)" in answered.stdout
    assert not Path("commands.txt").exists()


def test_the_joined_map_has_no_quarters(call, project, succeed):
    succeed(project.call("run_it003_class001"), "--risk", "quarter")
    assert project.history()[-1]["risk"] == "split-noise"
    assert not Path("commands.txt").exists()


def test_missing_particles_are_one_sentence(call, project, reconstruct):
    (project.folder / f"{PREVIOUS}_data.star").unlink()
    assert re.search(
        r"the risk quarter needs the particles of the previous iteration, but \S+_data.star, named "
        r"in \S+_optimiser.star, does not exist: use --risk split-noise",
        refused(reconstruct, call),
    )


def test_a_missing_optimiser_file_is_one_sentence(call, project, reconstruct):
    (project.folder / f"{PREVIOUS}_optimiser.star").unlink()
    sentence = refused(reconstruct, call)
    assert "run_it002_optimiser.star would name (_rlnExperimentalDataStarFile)" in sentence


def test_particles_without_half_sets_are_refused(call, project, reconstruct):
    write_particles(project, None)
    sentence = refused(reconstruct, call)
    assert "does not say which half-set each particle belongs to (_rlnRandomSubset)" in sentence


def test_too_few_particles_are_refused(call, project, reconstruct):
    half_set = np.full(2 * COUNT, 2)
    half_set[0] = 1
    write_particles(project, half_set)
    assert "has 1 particles of half-set 1" in refused(reconstruct, call)


def test_relion_not_installed_is_one_sentence(call, reconstruct, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "relion_reconstruct, which is not on the PATH" in refused(reconstruct, call)


def test_a_program_that_fails_leaves_its_log(call, program, reconstruct):
    program('echo "ERROR: no such image"; exit 1')
    sentence = refused(reconstruct, call)
    assert "relion_reconstruct ended with status 1: ERROR: no such image" in sentence
    log = re.search(r"see ([^)]+)", sentence)
    assert log is not None
    assert "no such image" in Path(log[1]).read_text()


def test_a_program_that_hangs_is_ended(call, program, reconstruct):
    program("sleep 60")
    sentence = refused(reconstruct, call, "--quarter_timeout", 0.5)
    assert "relion_reconstruct took longer than" in sentence


def test_a_program_that_writes_nothing_is_no_success(call, program, reconstruct):
    program("true")
    assert "quarter1.mrc" in refused(reconstruct, call)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("_rlnDoHelicalRefine 1\n", "cannot be had in helical refinement"),
        ("", "takes images, not sub-tomograms"),
    ],
    ids=["helical", "sub-tomograms"],
)
def test_what_has_no_quarter_maps_is_refused(project, program, reconstruct, change, message):
    project.previous_iteration(optimiser=f"_rlnParticleDiameter 40\n{change}", dimension=3)
    assert message in refused(reconstruct, project.call())


def test_bodies_have_no_quarter_maps(project, program, reconstruct):
    project.previous_iteration()
    call = project.call("run_it003_half1_body001")
    assert "cannot be had in multi-body refinement" in refused(reconstruct, call)


def test_a_classification_has_no_quarter_maps(project, program, reconstruct):
    project.previous_iteration(model="model")
    call = project.call("run_it003_class001", fsc=np.zeros(9))
    sentence = refused(reconstruct, call)
    assert "the risk quarter needs half-sets, and a classification has none" in sentence


def test_what_a_killed_call_left_is_removed(call, succeed):
    left = call.with_name(f"{call.stem}_quarters_abc")
    left.mkdir()
    (left / "quarter1.star").touch()
    succeed(call, "--risk", "quarter")
    assert not left.exists()
