"""Runs taken up again: RELION 3.1 keeps the hook, and names the output as it is told, or `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

OPTIONS = [
    *("--continue", "refined/run_it001_optimiser.star"),
    *("--dont_combine_weights_via_disc", "--pool", "10", "--j", "1"),
]


@pytest.mark.parametrize(("output", "root"), [("again/run_ct1", "run_ct1"), ("", "run")])
def test_the_hook_is_inherited(relion: Relion, refined: Run, output: str, root: str) -> None:
    # Without --o the root is `run`, in the working directory; for want of a slash in it RELION 3.1
    # also demands a folder of that name.
    (relion.folder / "run").mkdir(exist_ok=True)
    run = relion.refine(output, *OPTIONS, "--auto_iter_max", "2").succeeded()
    assert run.calls() == [f"{root}_it002_half{half}_class001" for half in (1, 2)]
    for half in (1, 2):
        again = run.result(f"{root}_it002_half{half}_class001")
        first = refined.result(f"run_it002_half{half}_class001")
        assert np.corrcoef(again.ravel(), first.ravel())[0, 1] > 0.99
    assert (run.folder / f"{root}_external.jsonl").exists()


def test_the_joined_iteration_can_be_forced(relion: Relion, refined: Run) -> None:
    run = relion.refine("forced/run_ct1", *OPTIONS, "--force_converge").succeeded()
    assert run.calls() == ["run_ct1_it002_class001"]
    np.testing.assert_array_equal(run.map("run_ct1_class001"), run.result(*run.calls()))
