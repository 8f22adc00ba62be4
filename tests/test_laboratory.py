"""The laboratory in benchmarks/: its sets, what counts as a finished run, what it reports."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import mrcfile
import numpy as np
import pytest
import starfile

from plugin_core.simulation.poses import euler_to_matrix
from relion_external.errors import UserError
from relion_external.refinement import IterationResult, RefinementOptions

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("sets", "evaluation", "runs", "reporting", "tune")


@pytest.fixture(scope="module")
def lab() -> SimpleNamespace:
    """The scripts' modules, which find one another as scripts do."""
    sys.path.insert(0, str(FOLDER))
    try:
        modules: dict[str, ModuleType] = {name: __import__(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def small_set(lab, tmp_path_factory):
    """Twelve particles of the embedded protein at box 32."""
    patch = pytest.MonkeyPatch()
    recipe = lab.sets.SETS["bcsab"]
    tiny = replace(recipe.small, particles=12, box=32, voxel_size=6.0)
    patch.setitem(lab.sets.SETS, "bcsab", replace(recipe, small=tiny))
    patch.setattr(lab.sets, "DRAWS_OF_THE_MEAN", 5)
    folder = tmp_path_factory.mktemp("lab")
    yield lambda seed=1: lab.sets.make_set("bcsab", folder, "small", seed, Path("none"))
    patch.undo()


def test_a_set_is_made_once_for_the_same_options(small_set):
    made = small_set()
    written = made.images.stat().st_mtime_ns
    assert small_set().images.stat().st_mtime_ns == written
    assert small_set(seed=2).images.stat().st_mtime_ns != written


def test_masks_tell_the_rigid_from_the_disordered_part(small_set):
    made = small_set()
    rigid, disordered, mean, molecule = (
        mrcfile.read(path)
        for path in (made.rigid_mask, made.disordered_mask, made.mean_map, made.true_map)
    )
    assert (rigid + disordered).max() <= 1.0
    assert np.sum(molecule * rigid) > 0.8 * np.sum(molecule * (molecule > 0))
    belt = mean - molecule
    densities = [np.sum(belt * mask) / np.sum(mask) for mask in (disordered, rigid)]
    assert densities[0] > 2 * densities[1]


def test_fewer_particles_are_the_first_of_the_same_images(lab, small_set):
    made = small_set()
    subset = lab.sets.first_particles(made, 5)
    few, all_of_them = (starfile.read(s.particles)["particles"] for s in (subset, made))
    assert few.equals(all_of_them.head(5))
    assert subset.images == made.images
    with pytest.raises(ValueError, match="has 12 particles only"):
        lab.sets.first_particles(made, 13)


def test_preferred_views_look_along_one_axis(lab):
    options = replace(lab.sets.SETS["views"].small, particles=2000)
    table = lab.sets.preferred_views(Path(), options, np.random.default_rng(0))
    along_y = np.abs(euler_to_matrix(table[lab.sets.ANGLES])[:, 2, 1])
    within = np.mean(along_y > np.cos(np.radians(50)))  # two standard deviations
    assert within == pytest.approx(0.8 * 0.95 + 0.2 * (1 - np.cos(np.radians(50))), abs=0.03)


def test_methods_are_options_of_the_hook(lab):
    assert lab.runs.parse_method("none").hook is None
    assert lab.runs.parse_method("relion").hook == "relion_external_reconstruct"
    hook = lab.runs.parse_method("nonuniform:cross-half --awf 2").hook
    assert hook.endswith("reconstruct --method nonuniform --risk cross-half --awf 2")
    with pytest.raises(UserError, match="the method 'nonuniform:guess'"):
        lab.runs.parse_method("nonuniform:guess")


def write_record(lab, folder, method, made, options) -> None:
    folder.mkdir(exist_ok=True)
    curve = [1.0, 0.9, 0.4]
    record = {
        "made_with": lab.runs._made_with(method, made, options),
        "code": method.code,
        "particles": 12,
        "iterations": [IterationResult(0, 6.0, 6.0, 2.0, None, 1.0).__dict__],
        "evaluation": {
            "particles": 12,
            "box": 4,
            "voxel_size": 6.0,
            "to_truth": {"whole": curve, "rigid": curve},
            "half_to_truth": curve,
            "half_to_half": curve,
            "relions_own": curve,
        },
    }
    (folder / "result.json").write_text(json.dumps(record))


def test_a_run_counts_only_with_the_same_options_and_code(lab, small_set, tmp_path, monkeypatch):
    made, options = small_set(), RefinementOptions(particle_diameter=180.0, iterations=2)
    method = lab.runs.parse_method("nonuniform")

    def found(folder, **changes):
        wanted = replace(options, **changes)
        return lab.runs.finished_run(folder, method, made, wanted, any_code=False)

    assert found(tmp_path) is None
    write_record(lab, tmp_path, method, made, options)
    assert found(tmp_path).errors == [6.0]
    assert found(tmp_path, iterations=3) is None
    assert found(tmp_path, seed=2) is None
    monkeypatch.setattr(lab.runs, "code_fingerprint", lambda: "another")
    assert found(tmp_path) is None
    assert lab.runs.finished_run(tmp_path, method, made, options, any_code=True) is not None


def test_relions_own_runs_do_not_depend_on_this_code(lab, monkeypatch):
    before = lab.runs.parse_method("none").code
    monkeypatch.setattr(lab.runs, "code_fingerprint", lambda: "another")
    assert lab.runs.parse_method("none").code == before


def test_flattery_is_what_exceeds_the_agreement_with_truth(lab):
    shells = 33
    to_truth = np.linspace(1, 0, shells)
    evaluation = lab.evaluation.Evaluation(
        particles=1,
        box=64,
        voxel_size=3.0,
        to_truth={"whole": to_truth.tolist()},
        half_to_truth=to_truth.tolist(),
        half_to_half=(to_truth**2).tolist(),
        relions_own=(to_truth**2).tolist(),
    )
    assert evaluation.flattery == pytest.approx(0.0)
    inflated = to_truth**2
    inflated[20] += 0.2
    inflated[2] += 0.9  # coarser than 40 Å, where RELION joins the half-sets
    flattering = replace(evaluation, relions_own=inflated.tolist())
    assert flattering.flattery == pytest.approx(0.2)
    assert evaluation.resolution("whole") == pytest.approx(64 * 3.0 / 16)
    again = lab.evaluation.Evaluation.from_json(flattering.to_json())
    assert again == flattering


def test_a_converged_refinement_stays_where_it_was(lab):
    iterations = [IterationResult(i, 6.0 - i, 6.0, 2.0, None, 1.0) for i in range(3)]
    run = lab.runs.Run("none", 1, 10, "RELION", iterations, None, Path())
    assert run.errors_padded(5) == [6.0, 5.0, 4.0, 4.0, 4.0]
