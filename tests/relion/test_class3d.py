"""Classifications with the hook: no half-sets, so no FSC, and the answer shapes the next prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from plugin_core.fsc import fourier_shell_correlation

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion


def test_every_class_of_every_iteration_is_answered(classified: Run) -> None:
    assert classified.calls() == [f"run_it{i:03d}_class{k:03d}" for i in (1, 2, 3) for k in (1, 2)]
    for call in classified.calls():
        assert "classification map" in classified.log(call)


def test_noise_is_reckoned_as_it_is(
    classified: Run, noise_ratio: Callable[[Run, str], np.ndarray]
) -> None:
    # RELION measures noise in particles masked with zeros, and reconstructs from unmasked ones.
    ratio = noise_ratio(classified, "run_it001_class001")
    assert ratio[8:-2].mean() == pytest.approx(1.0, abs=0.15)


def test_both_classes_live_and_approach_the_truth(classified: Run, truth: np.ndarray) -> None:
    occupancy = classified.model("run_it003", "model_classes")["rlnClassDistribution"]
    assert occupancy.min() > 0.2
    for k in (1, 2):
        fsc = fourier_shell_correlation(classified.map(f"run_it003_class{k:03d}"), truth)
        assert fsc[1:8].min() > 0.8


def test_resolution_neither_runs_away_nor_collapses(classified: Run) -> None:
    resolutions = [
        float(classified.model(f"run_it{i:03d}")["rlnCurrentResolution"]) for i in (1, 2, 3)
    ]
    assert resolutions == sorted(resolutions, reverse=True)
    assert 14 < resolutions[-1] < 33


def test_ranks_share_the_classes(relion: Relion) -> None:
    run = relion.class3d("ranks/run", "--iter", "1", mpi=True).succeeded()
    assert run.calls() == ["run_it001_class001", "run_it001_class002"]
    assert run.stdout.count(" relion-external: iteration 1 class ") == 2
