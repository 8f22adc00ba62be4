from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from plugin_core.simulation.poses import (
    euler_to_matrix,
    matrix_to_euler,
    perturb_orientations,
    random_orientations,
)
from plugin_core.symmetry import rotations
from relion_external import refinement
from relion_external.errors import UserError
from relion_external.refinement import RefinementOptions, compare_iteration, refine
from relion_external.simulated_set import ANGLES, ORIGINS, SimulatedSet

COUNT = 400
OPTIONS = RefinementOptions(particle_diameter=180.0)


@pytest.fixture
def truth() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i:06d}@particles.mrcs" for i in range(1, COUNT + 1)],
            "rlnRandomSubset": rng.permutation(np.arange(COUNT) % 2 + 1),
        }
    )
    table[ANGLES] = random_orientations(COUNT, rng)
    table[ORIGINS] = rng.normal(0.0, 3.0, (COUNT, 2))
    return table


def write_iteration(folder: Path, table: pd.DataFrame, resolution: float = 12.0) -> None:
    starfile.write({"particles": table}, folder / "run_it003_data.star")
    starfile.write(
        {"model_general": {"rlnCurrentResolution": resolution}},
        folder / "run_it003_half1_model.star",
    )


def test_errors_are_those_that_were_put_in(tmp_path: Path, truth: pd.DataFrame) -> None:
    table = truth.sample(frac=1.0, random_state=1)  # RELION reorders particles
    table[ANGLES] = perturb_orientations(table[ANGLES], 4.0, np.random.default_rng(1))
    table[ORIGINS] += np.random.default_rng(2).normal(0.0, 1.5, (COUNT, 2))
    write_iteration(tmp_path, table)
    result = compare_iteration(tmp_path, 3, truth.set_index("rlnImageName"), seconds=7.0)
    assert (result.iteration, result.seconds, result.resolution) == (3, 7.0, 12.0)
    assert result.angular_error_as_is == pytest.approx(4.0, abs=1e-3)
    assert result.angular_error == pytest.approx(4.0, abs=0.1)
    # Median of the length of a two-dimensional normal deviate: sqrt(2 ln 2) standard deviations.
    assert result.origin_error == pytest.approx(1.5 * np.sqrt(2 * np.log(2)), rel=0.1)


def test_what_a_half_set_shares_is_no_error(tmp_path: Path, truth: pd.DataFrame) -> None:
    table = truth.copy()
    for half, turn, shift in (
        (1, [3.0, 2.0, 1.0], [1.0, -2.0, 3.0]),
        (2, [-4.0, 0.0, 0.0], [0.0, 0.0, 5.0]),
    ):
        rows = table["rlnRandomSubset"] == half
        matrices = euler_to_matrix(table.loc[rows, ANGLES])
        table.loc[rows, ORIGINS] -= (matrices @ shift)[:, :2]
        table.loc[rows, ANGLES] = matrix_to_euler(matrices @ euler_to_matrix([turn])[0])
    write_iteration(tmp_path, table)
    result = compare_iteration(tmp_path, 3, truth.set_index("rlnImageName"), seconds=0.0)
    assert result.angular_error_as_is > 3.0
    assert result.angular_error < 1e-3
    assert result.origin_error < 1e-3


def test_the_start_has_no_resolution(tmp_path: Path, truth: pd.DataFrame) -> None:
    write_iteration(tmp_path, truth, resolution=np.inf)
    assert compare_iteration(tmp_path, 3, truth.set_index("rlnImageName"), 0.0).resolution is None


def test_relion_is_told_of_a_hook_only_where_there_is_one(tmp_path: Path) -> None:
    particles = SimulatedSet(tmp_path)
    without, with_hook = (
        refinement.relion_arguments(particles, tmp_path / "out", OPTIONS, external)
        for external in (False, True)
    )
    assert set(with_hook) - set(without) == {"--external_reconstruct"}
    assert with_hook[with_hook.index("--o") + 1] == str(tmp_path / "out" / "run")


def test_symmetry_mates_are_the_same_pose(tmp_path: Path, truth: pd.DataFrame) -> None:
    rng = np.random.default_rng(3)
    table = truth.copy()
    operations = rotations("D2")[rng.integers(0, 4, COUNT)]
    table[ANGLES] = matrix_to_euler(euler_to_matrix(table[ANGLES]) @ operations)
    write_iteration(tmp_path, table)
    indexed = truth.set_index("rlnImageName")
    assert compare_iteration(tmp_path, 3, indexed, 0.0).angular_error_as_is > 90.0
    assert compare_iteration(tmp_path, 3, indexed, 0.0, "D2").angular_error_as_is < 1e-4


def test_missing_relion_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UserError, match="relion_refine_mpi and relion_reconstruct and mpirun not found"
    ):
        refine(SimulatedSet(tmp_path), tmp_path / "out", OPTIONS, hook=None)
