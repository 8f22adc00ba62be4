"""With split-noise, nothing of the other half-set gets into a half-map, whatever it holds."""

from __future__ import annotations

import numpy as np
import pytest

MINE, OTHER = "run_it003_half1_class001", "run_it003_half2_class001"


def outputs(project) -> dict[str, bytes]:
    """The maps of half 1, without the time that mrcfile puts into a label of the header."""
    paths = sorted(project.folder.glob(f"{MINE}_external_reconstruct*.mrc"))
    arrays = [path for path in paths if path.stem.endswith(("_real", "_imag", "_weight"))]
    return {path.name: path.read_bytes()[1024:] for path in paths if path not in arrays}


def replace_by_noise(project):
    project.call(OTHER, seed=99)
    project.write(f"{OTHER}_unfil.mrc", np.random.default_rng(5).standard_normal((16, 16, 16)))
    project.write("run_it002_half2_class001.mrc", np.zeros((16, 16, 16)))


def replace_by_garbage(project):
    for path in project.folder.glob("*half2*"):
        path.write_bytes(b"garbage")


def remove(project):
    for path in project.folder.glob("*half2*"):
        path.unlink()


@pytest.mark.parametrize("replace", [replace_by_noise, replace_by_garbage, remove])
def test_replacing_the_other_half_changes_no_bit(project, succeed, replace):
    project.previous_iteration()
    project.previous_iteration(model="half2_model")
    project.call(OTHER, seed=2)
    project.write(f"{OTHER}_unfil.mrc", project.truth)
    project.write("run_it002_half2_class001.mrc", project.truth)
    star = project.call(MINE)
    succeed(star)
    before = outputs(project)
    assert len(before) == 2
    replace(project)
    succeed(star)
    assert outputs(project) == before


def test_the_same_test_sees_that_cross_half_depends_on_the_other_half(project, succeed):
    project.previous_iteration()
    project.call(OTHER, seed=2)
    star = project.call(MINE)
    succeed(star, "--risk", "cross-half")
    before = outputs(project)
    replace_by_noise(project)
    succeed(star, "--risk", "cross-half")
    assert outputs(project) != before
