"""Tune a network to one half-map, from that half-map alone.

What serves as a pair are two maps made of the half-map m and a field n of Gaussian noise with the
spectrum of the noise already in it: m + a n and m - n / a. Their noises are independent, so the
one is a target for the other (Pang et al., Recorrupted-to-Recorrupted, CVPR 2021); a = 1 would be
the two virtual quarter-maps of the split-noise risk. Nothing of the other half-set is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plugin_core import fourier
from plugin_core.denoising.network import DenoisingNetwork
from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.pairs import TrainingPair
from plugin_core.denoising.training.stream import BatchPlan, batches
from plugin_core.denoising.training.trainer import Schedule, Trainer

ADDED_NOISE = 0.5
"""The factor a: the input's noise is 1 + a^2 times as strong as the half-map's in variance, the
target's 1 + 1 / a^2. Smaller, and the input is more like what the network is applied to, but the
targets teach less each."""

FIELDS = 32
"""Different fields of noise; more would hardly differ."""


def tune(
    network: DenoisingNetwork,
    half_map: np.ndarray,
    support: np.ndarray,
    noise_power: np.ndarray,
    schedule: Schedule,
    batch: int = 4,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DenoisingNetwork:
    """Train `network`, in place, on one half-map; return the average of its weights.

    Parameters
    ----------
    network : DenoisingNetwork
        On the device to train on.
    half_map, support : (N, N, N) float32
        Raw half-map and soft mask of the particle, at the network's voxel size.
    noise_power : (shells,) float64
        Mean |rfftn|^2 of the half-map's noise over the whole box; 0 is taken beyond its end.
    """
    read = _recorrupted(half_map, support, noise_power, schedule.seed)
    plan = BatchPlan(FIELDS, batch, blocks_per_pair=8, seed=schedule.seed)
    gentle = Augmentation(noise=0.0, blur=0.0, intensity=0.0, affine=0.0)
    trainer = Trainer(network, schedule)
    device = next(network.parameters()).device
    for blocks in batches(plan, read, gentle, 0, range(batch)):
        trainer.train(blocks.to(device))
        progress(trainer.step, schedule.steps)
        if trainer.step == schedule.steps:
            return trainer.average
    raise AssertionError("the batches do not end")


def _recorrupted(
    half_map: np.ndarray, support: np.ndarray, noise_power: np.ndarray, seed: int
) -> Callable[[int], TrainingPair]:
    box = half_map.shape[0]
    amplitude = np.zeros(int(fourier.shell_table(box)[-1]) + 1)
    kept = min(len(amplitude), len(noise_power))
    amplitude[:kept] = np.sqrt(noise_power[:kept] / box**3)
    gain = amplitude[fourier.shell_table(box)]

    def pair(number: int) -> TrainingPair:
        rng = np.random.default_rng([seed, number])
        white = fourier.rfftn(rng.standard_normal((box, box, box), dtype=np.float32))
        noise = fourier.irfftn(fourier.apply_radial(white, gain), box)
        added, taken = np.float32(ADDED_NOISE) * noise, noise / np.float32(ADDED_NOISE)
        return TrainingPair(
            inputs=(half_map + added, half_map - added),
            targets=(half_map - taken, half_map + taken),
            mask=support,
        )

    return pair
