"""The plain search: whole transforms of the whole box for every level, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plugin_core.nonuniform.levels import window_sigma
from plugin_core.nonuniform.risks import Risk


def _plain_search(
    risk: Risk, cutoffs: np.ndarray, order: int, awf: float
) -> tuple[np.ndarray, np.ndarray]:
    """Level and value at every voxel, as `plugin_core.nonuniform.search` finds them faster."""
    box = risk.maps[0].shape[0]
    axis, half = np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1)
    radius2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2
    transforms = [np.fft.rfftn(volume.astype(np.float64)) for volume in risk.maps]

    def back(transform: np.ndarray) -> np.ndarray:
        return np.fft.irfftn(transform, s=(box,) * 3, axes=(0, 1, 2))

    def filtered(cutoff: float) -> list[np.ndarray]:
        gain = 1 / np.sqrt(1 + (radius2 / cutoff**2) ** order)
        return [back(transform * gain) for transform in transforms]

    current = filtered(cutoffs[0])
    value, level = current[0], np.zeros((box,) * 3, dtype=int)
    total, least = np.zeros((box,) * 3), np.zeros((box,) * 3)
    for index in range(1, len(cutoffs)):
        previous, current = current, filtered(cutoffs[index])
        difference = risk.difference(index, slice(None), current, previous)
        window = np.exp(-2 * (np.pi * window_sigma(cutoffs[index], awf)) ** 2 * radius2)
        total += back(np.fft.rfftn(difference) * window)
        better = total < least
        level[better], value[better] = index, current[0][better]
        least[better] = total[better]
    return level, value


@pytest.fixture(scope="session")
def plain_search() -> Callable[[Risk, np.ndarray, int, float], tuple[np.ndarray, np.ndarray]]:
    """Search without any of the limits that make the search fast."""
    return _plain_search
