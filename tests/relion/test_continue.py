"""Runs taken up again: RELION 3.1 keeps the hook, and the output root is as the user gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

OPTIMISER = "refined/run_it001_optimiser.star"
OPTIONS = ["--dont_combine_weights_via_disc", "--pool", "10", "--j", "1"]


def test_the_hook_is_inherited_and_serves_a_root_with_underscores(
    relion: Relion, refined: Run
) -> None:
    options = ("--continue", OPTIMISER, "--auto_iter_max", "2", *OPTIONS)
    run = relion.refine("again/run_ct1", *options).succeeded()
    assert run.calls() == ["run_ct1_it002_half1_class001", "run_ct1_it002_half2_class001"]
    for half in (1, 2):
        again = run.result(f"run_ct1_it002_half{half}_class001")
        first = refined.result(f"run_it002_half{half}_class001")
        assert np.corrcoef(again.ravel(), first.ravel())[0, 1] > 0.99
    assert (run.folder / "run_ct1_external.jsonl").exists()


def test_the_joined_iteration_can_be_forced(relion: Relion, refined: Run) -> None:
    options = ("--continue", OPTIMISER, "--force_converge", *OPTIONS)
    run = relion.refine("forced/run_ct1", *options).succeeded()
    (call,) = run.calls()
    assert call == "run_ct1_it002_class001"
    np.testing.assert_array_equal(run.map("run_ct1_class001"), run.result(call))
