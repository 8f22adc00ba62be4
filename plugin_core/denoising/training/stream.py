"""An endless, reproducible supply of training batches.

A batch takes one block from each of its *streams*. A stream stays with one augmented pair for a
few blocks, because augmenting a whole map costs more than cutting it, and the streams change pairs
in turn. What a batch holds depends on the seed and the number of the step alone, so a resumed run
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.pairs import TrainingPair
from plugin_core.denoising.training.samples import AugmentedPair, augment


@dataclass(frozen=True)
class BatchPlan:
    """Which blocks make up which batch.

    Attributes
    ----------
    pairs : int
        Number of training pairs.
    batch : int
        Blocks in a batch, over all processes.
    blocks_per_pair : int
        Blocks that are cut from one augmented pair.
    seed : int
    """

    pairs: int
    batch: int
    blocks_per_pair: int
    seed: int

    def visit(self, stream: int, step: int) -> tuple[int, int]:
        """Number of the pair's visit by `stream` at `step`, and of the block within the visit."""
        shifted = step + stream * self.blocks_per_pair // self.batch
        return divmod(shifted, self.blocks_per_pair)

    def pair(self, stream: int, visit: int) -> int:
        """Pair of a visit: every pair once, in random order, before any comes again."""
        epoch, position = divmod(visit * self.batch + stream, self.pairs)
        return int(np.random.default_rng([self.seed, 1, epoch]).permutation(self.pairs)[position])


def batches(
    plan: BatchPlan,
    read: Callable[[int], TrainingPair],
    parameters: Augmentation,
    first_step: int,
    streams: range,
) -> Iterator[Tensor]:
    """Yield the batches from `first_step` on, without end.

    Parameters
    ----------
    read : callable
        Reads a pair by its number.
    streams : range
        The streams of this process: all, range(plan.batch), where there is one process.

    Yields
    ------
    (len(streams), 4, D, D, D) float32
        Density, local standard deviation, target, mask.
    """
    held: dict[int, tuple[int, AugmentedPair]] = {}
    step = first_step
    while True:
        blocks = []
        for stream in streams:
            visit, number = plan.visit(stream, step)
            if stream not in held or held[stream][0] != visit:
                rng = np.random.default_rng([plan.seed, 2, stream, visit])
                held[stream] = visit, augment(read(plan.pair(stream, visit)), parameters, rng)
            rng = np.random.default_rng([plan.seed, 3, stream, visit, number])
            blocks.append(held[stream][1].block(parameters.affine, rng))
        yield torch.stack(blocks)
        step += 1
