"""Our reconstruction against RELION's own, on arrays that real refinements have left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion


@pytest.fixture(params=["refined half", "refined joined", "classified"])
def call(request: pytest.FixtureRequest) -> tuple[Run, str]:
    """Calls of half-sets and of the joined map with padding 1, and of a class with padding 2."""
    run: Run = request.getfixturevalue(request.param.split()[0])
    calls = run.calls()
    if request.param == "refined joined":
        calls = [name for name in calls if "half" not in name]
    return run, calls[-1]


@pytest.mark.parametrize(
    ("ours", "relions", "tolerance"),
    [([], ["--skip_gridding"], 1e-5), (["--gridding"], [], 1e-4)],
    ids=["division", "gridding"],
)
def test_uniform_is_relion_external_reconstruct(
    call: tuple[Run, str], ours: list[str], relions: list[str], tolerance: float, tmp_path: Path
) -> None:
    run, name = call
    options = ("--method", "uniform", "--minres_map", "-1", *ours)
    found = run.answer_again(name, tmp_path / "ours", *options)
    program = ["relion_external_reconstruct"]
    expected = run.answer_again(name, tmp_path / "relions", *relions, program=program)
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def test_uniform_is_relions_own_maximisation(relion: Relion) -> None:
    # But for the few Fourier voxels at exactly the last radius: RELION's own maps have them,
    # relion_external_reconstruct's and ours do not.
    hooked = relion.class3d("hooked/run", "--iter", "1", hook="--method uniform").succeeded()
    alone = relion.class3d("alone/run", "--iter", "1", hook=None).succeeded()
    for name in ("run_it001_class001", "run_it001_class002"):
        expected = alone.map(name)
        np.testing.assert_allclose(hooked.map(name), expected, atol=1e-3 * expected.max())
