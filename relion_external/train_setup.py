"""From the options of ``relion-external train`` to a training."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from plugin_core.denoising.network import (
    BLOCK_SIZE,
    PUBLISHED_WIDTH,
    VOXEL_SIZE,
    DenoisingNetwork,
)
from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.stream import BatchPlan
from plugin_core.denoising.training.trainer import Schedule, new_network
from relion_external import __version__
from relion_external.errors import UserError
from relion_external.network_weights import load_weights
from relion_external.progress import progress_bar
from relion_external.threads import usable_threads
from relion_external.training import TrainingRun, train
from relion_external.training_pairs import PairFiles, find_pairs, keep_pair
from relion_external.training_processes import Processes, join, leave

log = logging.getLogger(__name__)

FEWEST_PAIRS = 8


def train_as_asked(options: argparse.Namespace) -> None:
    """Prepare the pairs, make or load the network, and train it.

    Raises
    ------
    UserError
        If an option or a file does not fit.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    pairs = find_pairs(options.pairs)
    validation = find_pairs(options.validation)
    _check_number(pairs, options.finetune)
    _check_apart(pairs, validation)
    torch.set_num_threads(usable_threads(options.j))
    processes = join(options.gpu)
    try:
        log.info("training on %s, %d process(es)", processes.device, processes.count)
        network = _network(options)
        run = _training_run(options, network, pairs, validation, processes)
        train(run, network, processes)
    finally:
        leave(processes)


def _check_number(pairs: list[PairFiles], finetune: bool) -> None:
    if finetune and len(pairs) != 1:
        raise UserError(f"--finetune is for one data set, but --pairs holds {len(pairs)} pairs")
    if not finetune and len(pairs) < FEWEST_PAIRS:
        raise UserError(
            f"--pairs holds {len(pairs)} pairs of half-maps; expected at least {FEWEST_PAIRS}, "
            "or one and --finetune"
        )


def _check_apart(pairs: list[PairFiles], validation: list[PairFiles]) -> None:
    trained_on = {pair.half1.resolve() for pair in pairs}
    shared = [pair.name for pair in validation if pair.half1.resolve() in trained_on]
    if shared:
        raise UserError(
            f"--validation: {shared[0]} is among --pairs too; expected other structures"
        )


def _network(options: argparse.Namespace) -> DenoisingNetwork:
    if options.weights is None:
        width = options.width or PUBLISHED_WIDTH
        return new_network(width, options.dropout, options.seed)
    weights = load_weights(options.weights)
    if (weights.voxel_size, weights.block_size) != (VOXEL_SIZE, BLOCK_SIZE):
        raise UserError(
            f"{options.weights} is for voxels of {weights.voxel_size:g} Å and blocks of "
            f"{weights.block_size}; training goes on from weights for {VOXEL_SIZE:g} Å and "
            f"{BLOCK_SIZE} only"
        )
    network = weights.network
    width = network.outc.in_channels
    if options.width not in (None, width):
        raise UserError(f"--width {options.width}, but {options.weights} is {width} channels wide")
    network.dropout.p = options.dropout
    return network


def _training_run(
    options: argparse.Namespace,
    network: DenoisingNetwork,
    pairs: list[PairFiles],
    validation: list[PairFiles],
    processes: Processes,
) -> TrainingRun:
    folder = options.o.parent / f"{options.o.stem}_pairs"
    folder.mkdir(parents=True, exist_ok=True)
    if processes.first:
        _keep(pairs + validation, folder)
    processes.wait()
    schedule = Schedule(
        options.steps, options.rate, options.recycles, options.seed, options.precision
    )
    return TrainingRun(
        output=options.o,
        pairs=[keep_pair(files, folder) for files in pairs],
        validation=[keep_pair(files, folder) for files in validation],
        schedule=schedule,
        augmentation=Augmentation(options.noise, options.blur, options.intensity, options.affine),
        plan=BatchPlan(len(pairs), options.batch, options.blocks_per_pair, options.seed),
        save_every=options.save_every,
        about={
            "made by": f"relion-external {__version__}",
            "pairs": len(pairs),
            "started from": str(options.weights) if options.weights else "random weights",
            "width": network.outc.in_channels,
            "seed": options.seed,
        },
    )


def _keep(pairs: list[PairFiles], folder: Path) -> None:
    with progress_bar(len(pairs), "preparing pairs", "pair") as bar:
        for files in pairs:
            keep_pair(files, folder)
            bar.update(1)
