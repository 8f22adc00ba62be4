"""A refinement whose network is tuned to each half-set while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.network import DenoisingNetwork
from relion_external import network_weights, tuned_call

TUNING = ("--method", "denoiser", "--tune_every", 3, "--tune_steps", 2)
MINE, OTHER = "run_it003_half1_class001", "run_it003_half2_class001"
TUNED = "run_it003_half1_class001_denoiser.pt"


@pytest.fixture(autouse=True)
def weights(project, tmp_path, monkeypatch) -> Path:
    """A small network with random weights, which the environment variable names."""
    project.previous_iteration()
    torch.manual_seed(5)
    state = DenoisingNetwork(1).state_dict()
    path = tmp_path / "weights.pt"
    torch.save({"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, path)
    monkeypatch.setenv(network_weights.VARIABLE, str(path))
    return path


def test_the_tuned_network_is_kept_and_used(project, succeed, weights):
    untuned = succeed(project.call(MINE), "--method", "denoiser").map()
    answered = succeed(project.call(MINE), *TUNING)
    kept = network_weights.load_weights(project.folder / TUNED)
    assert np.abs(answered.map() - untuned).max() > 0
    last = (project.folder / "run_external.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["weights_sha256"] == kept.sha256
    assert json.loads(last)["tuned"] is True
    content = torch.load(project.folder / TUNED, weights_only=True)
    assert content["about"]["started from"] == network_weights.file_sha256(weights)
    assert "iteration 3 half 1 class 1, 2 steps" in content["about"]["made by"]


def test_between_tunings_the_last_tuned_network_is_used(project, succeed):
    succeed(project.call(MINE), *TUNING)
    star = project.call("run_it004_half1_class001")
    for path in project.folder.glob("run_it002*"):
        path.with_name(path.name.replace("it002", "it003")).write_bytes(path.read_bytes())
    answered = succeed(star, *TUNING)
    again = succeed(star, "--method", "denoiser", "--weights", project.folder / TUNED)
    np.testing.assert_array_equal(answered.map(), again.map())
    assert not (project.folder / "run_it004_half1_class001_denoiser.pt").exists()


def test_nothing_of_the_other_half_gets_into_the_tuned_network(project, succeed):
    project.call(OTHER, seed=2)
    star = project.call(MINE)
    first = succeed(star, *TUNING).map()
    state = (project.folder / TUNED).read_bytes()
    for path in project.folder.glob("*half2*"):
        path.write_bytes(b"garbage")
    np.testing.assert_array_equal(succeed(star, *TUNING).map(), first)
    tuned = [torch.load(project.folder / TUNED, weights_only=True)["model_state_dict"]]
    (project.folder / TUNED).write_bytes(state)
    tuned.append(torch.load(project.folder / TUNED, weights_only=True)["model_state_dict"])
    for name, value in tuned[0].items():
        assert torch.equal(value, tuned[1][name]), name


def test_a_classification_is_not_tuned(project, succeed):
    star = project.call("run_it003_class001", fsc=np.zeros(9))
    succeed(star, *TUNING)
    assert not list(project.folder.glob("*_denoiser.pt"))


def test_tuning_is_refused_with_another_method_or_as_blush(project, reconstruct):
    star = project.call(MINE)
    refused = reconstruct(star, "--tune_every", 2)
    assert refused.status == 1
    assert "--tune_every is for --method denoiser, and this is nonuniform" in refused.stderr
    refused = reconstruct(star, *TUNING, "--blush_compatible")
    assert refused.status == 1
    assert "--tune_every is not what relion-blush does" in refused.stderr


def test_each_half_set_is_tuned_with_noise_of_its_own(project, succeed, monkeypatch):
    """What both learned from one noise would be common to their references."""
    seeds, real = [], tuned_call.tune

    def spy(network, half_map, mask, power, schedule):
        seeds.append(schedule.seed)
        return real(network, half_map, mask, power, schedule)

    monkeypatch.setattr(tuned_call, "tune", spy)
    succeed(project.call(MINE), *TUNING)
    project.previous_iteration(model="half2_model")
    succeed(project.call(OTHER, seed=2), *TUNING)
    assert len(set(seeds)) == 2


def test_weights_of_another_sampling_are_not_tuned(project, reconstruct, weights):
    content = torch.load(weights, weights_only=True)
    torch.save(content | {"voxel_size": 3.0, "block_size": 96}, weights)
    answered = reconstruct(project.call(MINE), *TUNING)
    assert answered.status == 1
    assert "is for voxels of 3 Å and blocks of 96, and only weights for 1.5 Å and 64" in (
        answered.stderr
    )
