"""What the denoiser is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingPair:
    """Two noisy maps of one structure and what they should look like; all (N, N, N) float32.

    The maps are at the network's voxel size.

    Attributes
    ----------
    inputs : pair of arrays
        Raw half-maps.
    targets : pair of arrays
        For each input a map of the same expectation whose noise is independent of the input's.
    mask : array
        Smooth mask of the molecule, 0 to 1.
    """

    inputs: tuple[np.ndarray, np.ndarray]
    targets: tuple[np.ndarray, np.ndarray]
    mask: np.ndarray

    @classmethod
    def of_half_maps(
        cls, half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, truth: np.ndarray | None
    ) -> TrainingPair:
        """Take each half-map as the other's target (Kimanius et al., Eqn 2), or the truth for both.

        The truth, which simulated pairs have, is the average of the targets that infinitely many
        other halves would make, so it teaches the same with less noise.
        """
        return cls((half1, half2), (half2, half1) if truth is None else (truth, truth), mask)
