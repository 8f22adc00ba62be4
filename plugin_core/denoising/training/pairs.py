"""What the denoiser is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingPair:
    """Two half-maps of one structure, at the network's voxel size; all (N, N, N) float32.

    Attributes
    ----------
    half_maps : pair of arrays
        Raw half-maps, with independent noise.
    mask : array
        Smooth mask of the molecule, 0 to 1.
    truth : array or None
        The map that both half-maps measure, where it is known (simulated pairs). It then takes the
        place of the other half-map as the target: the average of the targets that infinitely many
        other halves would make, so it teaches the same with less noise.
    """

    half_maps: tuple[np.ndarray, np.ndarray]
    mask: np.ndarray
    truth: np.ndarray | None = None

    def target(self, half: int) -> np.ndarray:
        """What the denoised half-map `half` (0 or 1) is compared with, before masking."""
        return self.half_maps[1 - half] if self.truth is None else self.truth
