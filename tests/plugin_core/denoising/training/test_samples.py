from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.channels import network_channels
from plugin_core.denoising.training import samples
from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.pairs import TrainingPair
from plugin_core.denoising.training.stream import BatchPlan, batches
from plugin_core.masks import soft_sphere

BOX = 48
AS_IT_IS = Augmentation(noise=0, blur=0, intensity=0, affine=0)


def _pair(seed: int = 0) -> TrainingPair:
    rng = np.random.default_rng(seed)
    mask = soft_sphere(BOX, 14, 4)
    truth = rng.standard_normal((BOX,) * 3).astype(np.float32) * mask
    noise = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    return TrainingPair.of_half_maps(truth + noise[0], truth + noise[1], mask, truth)


def test_without_truth_each_half_is_the_others_target():
    pair = _pair()
    crossed = TrainingPair.of_half_maps(*pair.inputs, pair.mask, None)
    assert crossed.targets[0] is crossed.inputs[1]
    assert crossed.targets[1] is crossed.inputs[0]


def test_unaugmented_channels_are_what_the_network_is_given_when_applied():
    pair = _pair()
    rng = np.random.default_rng(0)
    augmented = samples.augment(pair, AS_IT_IS, rng)
    volume = torch.from_numpy(pair.inputs[0])
    inside = torch.from_numpy(soft_sphere(BOX, 14, 1e-3)) > 0
    density, deviation = network_channels(volume, torch.ones_like(volume))
    half = augmented.halves[0]
    torch.testing.assert_close(half[samples.DENSITY][inside], density[inside], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        half[samples.LOCAL_STD][inside], deviation[inside], atol=1e-5, rtol=0
    )
    scaled = (torch.from_numpy(pair.targets[0]) - volume.mean()) / volume.std()
    error = (half[samples.TARGET] - scaled)[inside].abs().max()
    assert error < 1e-4


def test_the_noise_that_is_added_is_independent_in_the_halves():
    flat = np.zeros((BOX,) * 3, dtype=np.float32)
    noise = np.random.default_rng(5).standard_normal((BOX,) * 3).astype(np.float32)
    pair = TrainingPair.of_half_maps(noise, noise, flat + 1, flat)
    strong = Augmentation(noise=50.0, blur=0, intensity=0, affine=0)
    halves = samples.augment(pair, strong, np.random.default_rng(6)).halves
    inside = soft_sphere(BOX, 16, 1e-3) > 0
    one, two = (half[samples.DENSITY].numpy()[inside] for half in halves)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1


def test_batches_depend_on_seed_and_step_alone():
    pairs = [_pair(1), _pair(2), _pair(3)]
    plan = BatchPlan(pairs=3, batch=4, blocks_per_pair=3, seed=7)
    parameters = Augmentation(affine=0.5)

    def supply(first_step: int, streams: range = range(4)):
        return batches(plan, pairs.__getitem__, parameters, first_step, streams)

    from_start = supply(0)
    whole = [next(from_start) for _ in range(6)]
    assert torch.equal(next(supply(5)), whole[5])
    assert torch.equal(next(supply(4, range(2, 4))), whole[4][2:])
    assert not torch.equal(whole[0], whole[1])
    assert whole[0].shape == (4, 4, 64, 64, 64)


def test_every_pair_comes_once_before_any_comes_again():
    plan = BatchPlan(pairs=5, batch=2, blocks_per_pair=4, seed=0)
    order = [plan.pair(stream, visit) for visit in range(5) for stream in range(2)]
    assert sorted(order[:5]) == list(range(5))
    assert sorted(order[5:]) == list(range(5))
    # The streams change their pairs at different steps.
    changes = [[plan.visit(stream, step)[1] for step in range(4)].index(0) for stream in (0, 1)]
    assert changes[0] != changes[1]
