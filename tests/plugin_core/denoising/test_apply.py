from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from plugin_core.cost import block_bytes
from plugin_core.denoising.apply import (
    Application,
    TrainedNetwork,
    _batch_size,
    denoise,
)
from plugin_core.denoising.network import DenoisingNetwork
from plugin_core.masks import soft_sphere

APPLICATION = Application(stride=32)


def noisy(box: int, seed: int = 1) -> torch.Tensor:
    """Blobs of several sizes in noise, on an offset."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(box) - box // 2
    volume = torch.randn((box,) * 3, generator=generator)
    for (z, y, x), width in (((-6, 3, 1), 3.0), ((5, -2, 4), 1.5), ((2, 7, -5), 5.0)):
        square = ((axis - z) ** 2)[:, None, None] + ((axis - y) ** 2)[:, None] + (axis - x) ** 2
        volume += 6 * torch.exp(-square / (2 * width**2))
    return volume + 2


def smooth(box: int, last: int) -> torch.Tensor:
    """A noisy map without power beyond frequency `last` along any axis."""
    transform = torch.fft.fftn(noisy(box))
    inside = torch.fft.fftfreq(box, 1 / box).abs() <= last
    kept = inside[:, None, None] & inside[:, None] & inside
    return torch.fft.ifftn(transform * kept).real


def sphere(box: int, radius: float) -> torch.Tensor:
    return torch.from_numpy(soft_sphere(box, radius, 4.0))


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


# ---- what must come out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "voxel_size"), [(64, 1.5), (72, 1.0), (48, 2.1), (40, 0.83), (32, 4.19), (51, 1.3)]
)
def test_a_network_that_finds_no_noise_gives_the_map_back(identity_network, box, voxel_size):
    """Any box and voxel size, boxes smaller than a block as well as larger ones."""
    finest = int(min(box, box * voxel_size / 1.5) / 2) - 2
    volume, mask = smooth(box, finest), sphere(box, 0.4 * box - 4)
    found = denoise(volume, mask, voxel_size, identity_network, APPLICATION)
    assert found.shape == volume.shape
    torch.testing.assert_close(found, volume * mask, rtol=1e-4, atol=1e-4)


def test_a_small_particle_in_a_large_box_does_not_vanish(identity_network):
    """Its mask fills far less than 0.3 of a block; relion-blush's rule would leave it out."""
    volume, mask = noisy(96), sphere(96, 10)
    found = denoise(volume, mask, 1.5, identity_network, APPLICATION)
    torch.testing.assert_close(found[mask == 1], volume[mask == 1], rtol=1e-4, atol=1e-4)
    published = denoise(volume, mask, 1.5, identity_network, Application(20, published=True))
    torch.testing.assert_close(published, float(volume.mean()) * mask)


def test_a_map_as_large_as_a_block_is_denoised_as_one(random_network):
    """With a mask that a block's used part holds there is one block, so nothing to average."""
    volume, mask = noisy(64), sphere(64, 17)
    found = denoise(volume, mask, 1.5, random_network, APPLICATION)
    std, mean = torch.std_mean(volume)
    from plugin_core.denoising.channels import network_channels

    density, deviation = network_channels(volume, mask)
    with torch.no_grad():
        residual = random_network.network.denoise(density[None], deviation[None])[0][0]
    expected = torch.where(mask > 0, residual * std + mean * mask, 0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert difference(found, volume * mask) > 0.1


def test_an_empty_map_stays_empty(random_network):
    assert not denoise(
        torch.zeros(32, 32, 32), sphere(32, 10), 3.0, random_network, APPLICATION
    ).any()


def test_an_empty_mask_gives_an_empty_map(random_network):
    assert not denoise(noisy(32), torch.zeros(32, 32, 32), 3.0, random_network, APPLICATION).any()


# ---- what must not matter -----------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (1e3, 0.0), (1.0, 5.0)])
def test_scale_and_offset_pass_through(random_network, scale, offset):
    volume, mask = noisy(72), sphere(72, 21)
    expected = denoise(volume, mask, 1.4, random_network, APPLICATION)
    found = denoise(scale * volume + offset, mask, 1.4, random_network, APPLICATION)
    assert difference(found, scale * expected + offset * mask) < 1e-3


@pytest.mark.parametrize("voxel_size", [1.5, 0.75])
def test_a_shift_by_whole_voxels_shifts_the_result(random_network, voxel_size):
    """Blocks lie about the mask, so they shift with it."""
    box, shifts = round(66 * 1.5 / voxel_size), (2, -4, 6)
    volume, mask = smooth(box, 30), sphere(box, 0.3 * box)
    expected = denoise(volume, mask, voxel_size, random_network, APPLICATION)
    assert difference(expected, volume * mask) > 0.1
    moved = (torch.roll(each, shifts, (0, 1, 2)) for each in (volume, mask))
    found = denoise(*moved, voxel_size, random_network, APPLICATION)
    assert difference(found, torch.roll(expected, shifts, (0, 1, 2))) < 1e-3


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (2, 0)])
def test_a_turn_by_90_degrees_turns_the_result(symmetric_network, axes):
    volume, mask = noisy(72), torch.rot90(sphere(72, 22), 2, (0, 1))
    expected = denoise(volume, mask, 1.5, symmetric_network, APPLICATION)
    assert difference(expected, volume * mask) > 0.1
    turned = (torch.rot90(each, 1, axes) for each in (volume, mask))
    found = denoise(*turned, 1.5, symmetric_network, APPLICATION)
    assert difference(found, torch.rot90(expected, 1, axes)) < 0.02


def test_the_result_is_the_same_to_the_last_bit(random_network):
    volume, mask = noisy(72), sphere(72, 21)
    first = denoise(volume, mask, 1.5, random_network, APPLICATION)
    assert torch.equal(denoise(volume, mask, 1.5, random_network, APPLICATION), first)


# ---- options ------------------------------------------------------------------------------------


def test_bfloat16_is_close_to_float32(random_network):
    volume, mask = noisy(64), sphere(64, 17)
    exact = denoise(volume, mask, 1.5, random_network, APPLICATION)
    rough = denoise(volume, mask, 1.5, random_network, Application(32, "bfloat16"))
    assert 1e-5 < difference(rough, exact) < 0.02


@pytest.mark.parametrize("precision", ["float16", "double"])
def test_a_precision_that_cannot_be_had_is_refused(random_network, precision):
    with pytest.raises(ValueError, match=precision):
        denoise(noisy(32), sphere(32, 9), 1.5, random_network, Application(32, precision))


def test_a_smaller_stride_lays_more_blocks(random_network):
    volume, mask, counts = noisy(72), sphere(72, 21), []
    for stride in (44, 3):
        application = Application(stride)

        def stop(done: int, total: int) -> None:
            counts.append(total)
            raise InterruptedError

        with pytest.raises(InterruptedError):
            denoise(volume, mask, 1.5, random_network, application, stop)
    assert counts == [8, 27]


def test_few_blocks_at_a_time_where_memory_is_short():
    trained = TrainedNetwork(DenoisingNetwork(width=8))
    one_block = block_bytes(8, 64)
    sizes = [
        _batch_size(trained, Application(20, free_bytes=free), torch.device("cpu"))
        for free in (None, 10 * one_block, 3 * one_block, one_block // 2)
    ]
    assert sizes == [2, 2, 1, 1]
