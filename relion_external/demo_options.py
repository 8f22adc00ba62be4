"""What both forms of the demonstration share: the particle, its options, agreement with truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import particle_sphere

FIELD_OF_VIEW = 192.0  # Å; the voxel size follows from the box
PARTICLE_DIAMETER = 184.0  # Å


@dataclass(frozen=True)
class DemoOptions:
    """What to simulate and how long to refine; `gpu` is the hook's option of that name."""

    folder: Path
    particles: int
    box: int
    iterations: int
    seed: int
    gpu: str

    @property
    def voxel_size(self) -> float:
        """In Å."""
        return FIELD_OF_VIEW / self.box


def agreement_with_truth(
    volume: NDArray[np.float32], truth: NDArray[np.float32], voxel_size: float
) -> NDArray[np.float64]:
    """FSC of two maps (N, N, N) inside the sphere of the particle, (N // 2 + 1,) float64."""
    sphere = particle_sphere(len(volume), PARTICLE_DIAMETER, voxel_size)
    return fourier_shell_correlation(volume * sphere, truth * sphere)
