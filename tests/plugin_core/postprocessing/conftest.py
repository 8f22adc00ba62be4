"""One simulated pair of half-maps: an ellipsoid of atoms under white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from plugin_core.fourier import apply_radial, irfftn, radii, rfftn
from plugin_core.masks import soft_sphere


@dataclass(frozen=True)
class HalfMapPair:
    half1: np.ndarray
    half2: np.ndarray
    signal: np.ndarray
    mask: np.ndarray
    box: int = 64
    voxel_size: float = 1.5

    @property
    def average(self) -> np.ndarray:
        return (self.half1 + self.half2) / 2


@pytest.fixture(scope="session")
def pair() -> HalfMapPair:
    box, voxel_size = HalfMapPair.box, HalfMapPair.voxel_size
    rng = np.random.default_rng(3)
    atoms = rng.normal(size=(4000, 3))
    atoms *= (rng.random(4000) ** (1 / 3) / np.linalg.norm(atoms, axis=1))[:, None]
    edges = np.arange(box + 1) - box // 2 - 0.5
    points = np.histogramdd(atoms * [12, 16, 9], bins=[edges] * 3)[0].astype(np.float32)
    fall_off = np.exp(-60 / 4 * (radii(box) / (box * voxel_size)) ** 2)
    signal = irfftn(apply_radial(rfftn(points), fall_off), box)
    signal *= np.float32(0.3 / signal.std())
    halves = [
        signal + np.float32(1.2) * rng.standard_normal(signal.shape, dtype=np.float32)
        for _ in range(2)
    ]
    return HalfMapPair(*halves, signal, soft_sphere(box, 19, 6))
