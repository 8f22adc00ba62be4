"""The denoising network: a residual 3-D U-net (Kimanius et al., Nat. Methods 2024, Fig. 1c).

At width 16 it has the names and shapes of RELION's published weights, so that these load as they
are. A narrower one is the same network with every number of channels scaled.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK_SIZE = 64
"""Edge in voxels of the blocks that the published network was trained on."""

VOXEL_SIZE = 1.5
"""Voxel size in Å that the network works at."""

PUBLISHED_WIDTH = 16
LEVELS = 5
SMALLEST_STD = 1e-12


class DenoisingNetwork(nn.Module):
    """What to take away from a block of a map, and where the molecule is.

    Parameters
    ----------
    width : int
        Channels at full resolution; 16 in the published network.
    dropout : float
        Fraction of the channels dropped while training, at the end of the contracting path. The
        paper gives the rate, not the place; this is where U-nets have it (Ronneberger et al. 2015).
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, dropout: float = 0.5) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        channels.append(channels[-1])
        self.inc = _Convolutions(2, width)
        self.down = nn.ModuleList(
            _Convolutions(finer, coarser) for finer, coarser in itertools.pairwise(channels)
        )
        self.dropout = nn.Dropout3d(dropout)
        self.up = nn.ModuleList(
            _Up(2 * skipped, max(skipped // 2, width)) for skipped in reversed(channels[:-1])
        )
        self.outc = nn.Conv3d(width, 2, kernel_size=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the network on standardised blocks.

        Parameters
        ----------
        inputs : (B, 2, D, D, D) float
            Standardised density and local standard deviation; D is a multiple of 32, 64 at least
            (32 leaves a single voxel to normalise over).

        Returns
        -------
        (B, 2, D, D, D) float
            What to subtract from the standardised density, and the logit of the molecule's mask.
        """
        features = self.inc(inputs)
        skipped = []
        for down in self.down:
            skipped.append(features)
            features = down(functional.max_pool3d(features, 2))
        features = self.dropout(features)
        for up in self.up:
            features = up(skipped.pop(), features)
        return self.outc(features)

    def denoise(self, density: Tensor, local_std: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise blocks of any scale and offset.

        Parameters
        ----------
        density, local_std : (B, D, D, D) float32

        Returns
        -------
        denoised, mask_logit : (B, D, D, D) float32
            `denoised` has the scale and offset of `density`.
        """
        std, mean = torch.std_mean(density, dim=(-3, -2, -1), keepdim=True)
        std = std + SMALLEST_STD
        standard = (density - mean) / std
        residual, mask_logit = self(torch.stack([standard, local_std], dim=1)).float().unbind(dim=1)
        return (standard - residual) * std + mean, mask_logit


class _Convolutions(nn.Module):
    """Two convolutions, each normalised over its block and activated."""

    def __init__(self, inputs: int, outputs: int, between: int | None = None) -> None:
        super().__init__()
        between = between or outputs
        self.double_conv = nn.Sequential()
        for number, (before, after) in enumerate([(inputs, between), (between, outputs)], start=1):
            self.double_conv.add_module(f"conv{number}", nn.Conv3d(before, after, 3, padding=1))
            self.double_conv.add_module(f"norm{number}", nn.InstanceNorm3d(after, affine=True))
            self.double_conv.add_module(f"act{number}", nn.SiLU(inplace=True))

    def forward(self, features: Tensor) -> Tensor:
        return self.double_conv(features)


class _Up(nn.Module):
    """Back to twice the resolution, joined by the features that were skipped there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _Convolutions(inputs, outputs, between=inputs // 2)

    def forward(self, skipped: Tensor, coarse: Tensor) -> Tensor:
        fine = functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=True)
        return self.conv(torch.cat([skipped, fine], dim=1))


def network_from_state(state: Mapping[str, Tensor]) -> DenoisingNetwork:
    """Build the network that a state dictionary belongs to, in evaluation mode.

    Raises
    ------
    ValueError
        If a name is missing, unexpected, or has another shape; the message lists them.
    """
    first = state.get("inc.double_conv.conv1.weight")
    width = int(first.shape[0]) if first is not None and first.ndim == 5 else PUBLISHED_WIDTH
    network = DenoisingNetwork(width)
    differences = _differences(network.state_dict(), state)
    if differences:
        raise ValueError("not the weights of this network: " + "; ".join(differences))
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.eval()


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Say what is missing, unexpected or of another shape; at most three names of each."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    reshaped = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    named = {"missing": missing, "unexpected": unexpected, "other shapes": reshaped}
    return [f"{what}: {_first(names)}" for what, names in named.items() if names]


def _first(names: list[str], most: int = 3) -> str:
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
