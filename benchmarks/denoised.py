"""The denoiser as the program applies it, for arrays instead of calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from plugin_core.denoising.apply import Application, TrainedNetwork, denoise
from plugin_core.denoising.bands import bands, combine
from plugin_core.denoising.resampling import network_box
from plugin_core.fourier import apply_radial, irfftn, rfftn, shell_table
from plugin_core.fsc import last_shell_above
from plugin_core.regularizers.denoiser import DEFAULT_TRAILING_DISTANCE
from plugin_core.spectral_trailing import trailing_shell
from relion_external.network_weights import load_weights


@dataclass(frozen=True)
class Denoiser:
    """A network, and how it is applied."""

    trained: TrainedNetwork
    application: Application

    def network(self, volume: np.ndarray, support: np.ndarray, voxel_size: float) -> np.ndarray:
        """What the bare network makes of a map."""
        tensors = torch.from_numpy(volume), torch.from_numpy(support)
        return denoise(*tensors, voxel_size, self.trained, self.application).numpy()

    def answer(
        self, denoised: np.ndarray, half_map: np.ndarray, fsc: np.ndarray, voxel_size: float
    ) -> np.ndarray:
        """What the program makes of the network's map and the masked half-map."""
        box = len(half_map)
        nyquist = network_box(box, voxel_size, self.trained.voxel_size) // 2
        cut = trailing_shell(fsc, DEFAULT_TRAILING_DISTANCE), max(last_shell_above(fsc), 1)
        split = bands(box, box // 2, nyquist, cut, fsc)
        return combine(denoised, split, lambda: half_map, lambda: wiener(half_map, fsc))


def open_denoiser(weights: Path, stride: int = 32, precision: str = "float32") -> Denoiser:
    """Read a network from its file."""
    return Denoiser(load_weights(weights).trained, Application(stride, precision))


def wiener(volume: np.ndarray, fsc: np.ndarray) -> np.ndarray:
    """Best filter that is the same everywhere: the FSC is signal over signal and noise."""
    box = len(volume)
    table = np.zeros(int(shell_table(box)[-1]) + 1)
    first_negative = int(np.argmax(fsc <= 0)) if (fsc <= 0).any() else len(fsc)
    table[:first_negative] = fsc[:first_negative]
    return irfftn(apply_radial(rfftn(volume), table[shell_table(box)]), box)
