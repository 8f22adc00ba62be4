"""Against sums over the window written out, in float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.channels import local_std, network_channels

TAPS = np.exp(-(np.linspace(-1.5, 1.5, 21) ** 2))


def volume(*shape: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def deviation_at(values: np.ndarray, z: int, y: int, x: int) -> float:
    """Weighted standard deviation of what the window about a voxel holds of the map."""
    total = {"weight": 0.0, "first": 0.0, "second": 0.0}
    for dz, wz in zip(range(z - 10, z + 11), TAPS, strict=True):
        for dy, wy in zip(range(y - 10, y + 11), TAPS, strict=True):
            for dx, wx in zip(range(x - 10, x + 11), TAPS, strict=True):
                inside = all(0 <= at < n for at, n in zip((dz, dy, dx), values.shape, strict=True))
                if inside:
                    value, weight = float(values[dz, dy, dx]), wz * wy * wx
                    total["weight"] += weight
                    total["first"] += weight * value
                    total["second"] += weight * value**2
    mean = total["first"] / total["weight"]
    return float(np.sqrt(total["second"] / total["weight"] - mean**2))


@pytest.mark.parametrize("at", [(12, 15, 13), (0, 0, 0), (25, 3, 23), (12, 29, 4)])
def test_the_deviation_is_that_of_the_window(at):
    values = volume(26, 30, 24) + 3
    assert float(local_std(values)[at]) == pytest.approx(
        deviation_at(values.numpy(), *at), rel=1e-5
    )


def test_a_constant_map_deviates_nowhere_and_an_offset_changes_nothing():
    assert float(local_std(torch.full((24, 24, 24), 7.0)).max()) == 0
    values = volume(24, 24, 24)
    torch.testing.assert_close(local_std(values + 100), local_std(values), rtol=1e-4, atol=0)


def test_every_map_of_a_batch_is_done_by_itself():
    batch = torch.stack([volume(22, 22, 22, seed=seed) * seed for seed in (1, 2, 3)])
    for found, each in zip(local_std(batch), batch, strict=True):
        torch.testing.assert_close(found, local_std(each))
    masks = torch.rand(batch.shape, generator=torch.Generator().manual_seed(4))
    for index, each in enumerate(batch):
        for found, alone in zip(
            network_channels(batch, masks), network_channels(each, masks[index]), strict=True
        ):
            torch.testing.assert_close(found[index], alone)


def test_neither_scale_nor_offset_of_the_map_matters():
    values, mask = volume(32, 32, 32), torch.ones(32, 32, 32)
    expected = network_channels(values, mask)
    for found, wanted in zip(network_channels(0.5 + 0.01 * values, mask), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_density_is_standardised_and_the_deviation_has_mean_1_before_the_mask():
    density, deviation = network_channels(volume(32, 32, 32) * 9 + 4, torch.ones(32, 32, 32))
    assert float(density.mean()) == pytest.approx(0, abs=1e-5)
    assert float(density.std()) == pytest.approx(1, rel=1e-4)
    assert float(deviation.mean()) == pytest.approx(1, rel=1e-4)
    mask = torch.linspace(0, 1, 32).expand(32, 32, 32)
    masked = network_channels(volume(32, 32, 32) * 9 + 4, mask)
    torch.testing.assert_close(masked[0], density * mask)
    torch.testing.assert_close(masked[1], deviation * mask)


def test_an_empty_map_gives_empty_channels():
    for channel in network_channels(torch.zeros(24, 24, 24), torch.ones(24, 24, 24)):
        assert bool((channel == 0).all())
