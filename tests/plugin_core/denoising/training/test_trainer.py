from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.training import samples, tuning
from plugin_core.denoising.training.loss import density_loss
from plugin_core.denoising.training.trainer import Schedule, Trainer, new_network

WIDTH = 2


def _batch(seed: int = 0) -> torch.Tensor:
    """Blocks of a smooth signal in white noise; the target is the signal."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn((2, 1, 16, 16, 16), generator=rng)
    signal = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="trilinear")[:, 0]
    noisy = signal + torch.randn(signal.shape, generator=rng)
    mask = torch.ones_like(signal)
    return torch.stack([noisy, torch.ones_like(noisy), signal, mask], dim=1)


def test_a_new_network_leaves_its_input_as_it_is():
    network = new_network(WIDTH, 0.0, seed=0).eval()
    batch = _batch()
    with torch.no_grad():
        denoised, logit = network.denoise(batch[:, samples.DENSITY], batch[:, samples.LOCAL_STD])
    torch.testing.assert_close(denoised, batch[:, samples.DENSITY])
    assert logit.abs().max() == 0


def test_the_loss_is_on_the_scale_of_the_input():
    network, batch = new_network(WIDTH, 0.0, seed=0).eval(), _batch()
    with torch.no_grad():
        loss, mask_loss = density_loss(network, batch, recycles=0)
    noisy, signal = batch[:, samples.DENSITY], batch[:, samples.TARGET]
    expected = torch.stack(
        [((n - s) ** 2).mean() / n.var() for n, s in zip(noisy, signal, strict=True)]
    ).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(mask_loss) == pytest.approx(np.log(2), rel=1e-5)


def test_training_lowers_the_loss_on_a_fixed_batch():
    batch = _batch()
    trainer = Trainer(new_network(WIDTH, 0.0, seed=0), Schedule(60, 1e-2, recycles=0))
    first = trainer.train(batch)
    for _ in range(59):
        last = trainer.train(batch)
    assert last < 0.5 * first


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recycled_passes_do_not_stop_the_gradient(precision):
    batch = _batch()
    network = new_network(WIDTH, 0.0, seed=0)
    torch.nn.init.normal_(network.outc.weight, std=0.1)
    before = copy.deepcopy(network.state_dict())
    trainer = Trainer(network, Schedule(10, 1e-2, recycles=3, precision=precision))
    for _ in range(4):
        trainer.train(batch)
    moved = [
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    ]
    # Biases before an instance norm have no effect, so no gradient moves them far; weights move.
    assert {name for name in before if name.endswith("conv1.weight")} <= set(moved)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    supply = [_batch(seed) for seed in range(6)]
    schedule = Schedule(6, 1e-2, recycles=2, seed=3)

    def fresh() -> Trainer:
        return Trainer(new_network(WIDTH, 0.5, seed=1), schedule)

    whole = fresh()
    for batch in supply:
        whole.train(batch)
    begun = fresh()
    for batch in supply[:3]:
        begun.train(batch)
    torch.save(begun.state(), tmp_path / "state.pt")
    resumed = fresh()
    resumed.load(torch.load(tmp_path / "state.pt", weights_only=True))
    for batch in supply[3:]:
        resumed.train(batch)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name


def test_the_learning_rate_rises_and_falls_to_zero():
    schedule = Schedule(steps=1000, learning_rate=1e-3)
    rates = [schedule.rate(step) for step in range(1001)]
    assert rates[0] < 0.05 * max(rates)
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates[1000] == pytest.approx(0, abs=1e-9)


def test_tuning_learns_from_one_noisy_map_to_remove_its_noise():
    box = 64
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 10, 10, 10)))
    signal = torch.nn.functional.interpolate(coarse, size=(box,) * 3, mode="trilinear")
    truth = signal[0, 0].numpy().astype(np.float32)
    half_map = truth + rng.standard_normal((box,) * 3).astype(np.float32)
    power = np.full(box // 2 + 1, float(box**3))  # white noise of unit deviation
    network = new_network(WIDTH, 0.0, seed=0)
    ones = np.ones_like(half_map)
    schedule = Schedule(40, 1e-2, recycles=0)
    tuned = tuning.tune(network, half_map, ones, power, schedule, batch=1)
    batch = torch.from_numpy(np.stack([half_map, ones, truth, ones]))[None]
    with torch.no_grad():
        untuned, _ = density_loss(new_network(WIDTH, 0.0, seed=0).eval(), batch, 0)
        after, _ = density_loss(tuned, batch, 0)
    assert float(after) < 0.85 * float(untuned)


def test_the_noise_of_a_virtual_pair_is_independent_in_input_and_target():
    box = 32
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((box,) * 3).astype(np.float32)
    power = np.full(box, float(box**3))
    read = tuning._recorrupted(noise, np.ones_like(noise), power, seed=0)
    pairs = [read(number) for number in range(8)]
    for half in (0, 1):
        correlations = [
            np.corrcoef(p.inputs[half].ravel(), p.targets[half].ravel())[0, 1] for p in pairs
        ]
        assert abs(np.mean(correlations)) < 0.01
    assert np.mean([p.inputs[0].var() for p in pairs]) == pytest.approx(1.25, rel=0.03)
    assert np.mean([p.targets[0].var() for p in pairs]) == pytest.approx(5.0, rel=0.03)
