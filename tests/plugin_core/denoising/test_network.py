"""The layout of the published weights, written out by hand, and what loads into it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.network import DenoisingNetwork, network_from_state

# Channels in, between the two convolutions, and out (Kimanius et al., Fig. 1c; width 16).
DOUBLE_CONVOLUTIONS = {
    "inc": (2, 16, 16),
    "down.0": (16, 32, 32),
    "down.1": (32, 64, 64),
    "down.2": (64, 128, 128),
    "down.3": (128, 256, 256),
    "down.4": (256, 256, 256),
    "up.0.conv": (512, 256, 128),
    "up.1.conv": (256, 128, 64),
    "up.2.conv": (128, 64, 32),
    "up.3.conv": (64, 32, 16),
    "up.4.conv": (32, 16, 16),
}


def published_layout() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (before, between, after) in DOUBLE_CONVOLUTIONS.items():
        for number, inputs, outputs in ((1, before, between), (2, between, after)):
            prefix = f"{name}.double_conv"
            shapes[f"{prefix}.conv{number}.weight"] = (outputs, inputs, 3, 3, 3)
            shapes[f"{prefix}.conv{number}.bias"] = (outputs,)
            shapes[f"{prefix}.norm{number}.weight"] = (outputs,)
            shapes[f"{prefix}.norm{number}.bias"] = (outputs,)
    return shapes | {"outc.weight": (2, 16, 1, 1, 1), "outc.bias": (2,)}


def random_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_names_and_shapes_are_the_published_ones():
    found = {name: tuple(value.shape) for name, value in DenoisingNetwork().state_dict().items()}
    assert found == published_layout()
    assert sum(value.numel() for value in DenoisingNetwork().parameters()) == 12_974_578


def test_a_state_of_that_layout_is_taken_over_whole():
    state = random_state(published_layout())
    network = network_from_state(state)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("width", [1, 4, 8, 12])
def test_a_narrower_network_is_known_by_its_first_layer(width):
    state = DenoisingNetwork(width).state_dict()
    assert network_from_state(state).outc.in_channels == width


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("up.4.conv.double_conv.norm2.bias"), "missing: up.4.conv.double_conv"),
        (lambda s: s.update({"down.5.conv": torch.zeros(1)}), "unexpected: down.5.conv"),
        (lambda s: s.update({"outc.bias": torch.zeros(1)}), r"outc.bias \(1,\) instead of \(2,\)"),
        (lambda s: s.clear(), "missing: .* and 87 more"),
    ],
)
def test_a_state_that_differs_is_refused_with_what_differs(change, told):
    state = DenoisingNetwork(2).state_dict()
    change(state)
    with pytest.raises(ValueError, match=told):
        network_from_state(state)


def test_blocks_come_back_in_their_own_scale_and_offset():
    torch.manual_seed(2)
    network = DenoisingNetwork(2).eval()
    blocks, deviation = torch.randn(2, 64, 64, 64), torch.ones(2, 64, 64, 64)
    with torch.no_grad():
        expected, logit = network.denoise(blocks, deviation)
        found, same_logit = network.denoise(1e-3 * blocks + 7, deviation)
    assert expected.shape == logit.shape == blocks.shape
    torch.testing.assert_close((found - 7) * 1e3, expected, rtol=0, atol=0.02)
    torch.testing.assert_close(same_logit, logit, rtol=0, atol=0.02)


def test_each_block_of_a_batch_is_denoised_by_itself():
    torch.manual_seed(2)
    network = DenoisingNetwork(2).eval()
    blocks, deviation = torch.randn(2, 64, 64, 64), torch.rand(2, 64, 64, 64)
    with torch.no_grad():
        together, _ = network.denoise(blocks, deviation)
        for at in (0, 1):
            alone, _ = network.denoise(blocks[at : at + 1], deviation[at : at + 1])
            torch.testing.assert_close(together[at], alone[0], rtol=1e-4, atol=1e-4)
