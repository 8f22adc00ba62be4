"""From a pair of half-maps to the blocks that the network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plugin_core import fourier
from plugin_core.denoising.channels import network_channels
from plugin_core.denoising.network import BLOCK_SIZE, VOXEL_SIZE
from plugin_core.denoising.training import augmentation, blocks
from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.pairs import TrainingPair
from plugin_core.masks import soft_sphere

DENSITY, LOCAL_STD, TARGET, MASK = range(4)
"""Channels of a training block."""

SPHERE_EDGE = 5.0
NOISE_EXPONENTS = (-0.5, 2.0)


@dataclass(frozen=True)
class AugmentedPair:
    """Both halves of a pair after augmentation, ready to be cut: two (4, N, N, N) tensors."""

    halves: tuple[Tensor, Tensor]

    def block(self, affine: float, rng: np.random.Generator) -> Tensor:
        """Cut one block from a random half at a random place and angle: (4, D, D, D) float32."""
        volumes = self.halves[int(rng.integers(2))]
        centre = blocks.block_centre(volumes[MASK].numpy(), BLOCK_SIZE, rng)
        if rng.random() < affine:
            return blocks.cut_affine(volumes, centre, BLOCK_SIZE, rng)
        return blocks.turn(blocks.cut(volumes, centre, BLOCK_SIZE), rng).contiguous()


def augment(
    pair: TrainingPair, parameters: Augmentation, rng: np.random.Generator
) -> AugmentedPair:
    """Vary both halves of a pair (Kimanius et al., Eqns 1 and 2).

    Each half gets noise of its own; the inputs share one filter, the targets another.
    """
    seen = augmentation.random_blur(parameters.blur, rng)
    wanted = augmentation.random_blur(parameters.blur, rng)
    sphere = _random_sphere(pair.mask, rng)
    strength = parameters.noise * rng.random() ** 2  # mostly little: real pairs carry their own
    exponent = rng.uniform(*NOISE_EXPONENTS)
    targets = _targets(pair, wanted)
    halves = []
    for half, half_map in enumerate(pair.inputs):
        transform = fourier.rfftn(half_map)
        deviation = np.float32(strength * half_map.std())
        transform += deviation * augmentation.coloured_noise(half_map.shape[0], exponent, rng)
        noisy = _blurred(transform, seen)
        gain = np.float32(1 + parameters.intensity * rng.uniform(-1, 1))
        halves.append(_channels(gain * noisy, gain * targets[half], pair.mask, sphere))
    return AugmentedPair((halves[0], halves[1]))


def _targets(pair: TrainingPair, b_factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = _target(pair.targets[0], pair.mask, b_factors)
    if pair.targets[1] is pair.targets[0]:
        return first, first
    return first, _target(pair.targets[1], pair.mask, b_factors)


def _target(volume: np.ndarray, mask: np.ndarray, b_factors: np.ndarray) -> np.ndarray:
    target = augmentation.infill(volume, mask, VOXEL_SIZE)
    return _blurred(fourier.rfftn(target), b_factors)


def _blurred(transform: np.ndarray, b_factors: np.ndarray) -> np.ndarray:
    filtered = augmentation.blur(transform, b_factors, VOXEL_SIZE)
    return fourier.irfftn(filtered, transform.shape[0])


def _channels(
    noisy: np.ndarray, target: np.ndarray, mask: np.ndarray, sphere: np.ndarray
) -> Tensor:
    """Stack what the network is given when it is applied, and target and mask on that scale."""
    volume, within = torch.from_numpy(noisy), torch.from_numpy(sphere)
    density, deviation = network_channels(volume, within)
    std, mean = torch.std_mean(volume)
    wanted = (torch.from_numpy(target) - mean) / std * within
    return torch.stack([density, deviation, wanted, torch.from_numpy(mask) * within])


def _random_sphere(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Solvent sphere of a user who knows the particle's diameter to a fifth, or none."""
    box = mask.shape[0]
    inside = np.argwhere(mask > 0.5) - box // 2
    reach = float(np.sqrt((inside**2).sum(axis=1).max())) if len(inside) else box / 2
    radius = min(reach * rng.uniform(1.0, 1.2), box / 2 - SPHERE_EDGE)
    return soft_sphere(box, radius, SPHERE_EDGE)
