"""Train the denoiser: read pairs, run the steps, keep checkpoints, draw the losses."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from plugin_core.denoising.network import BLOCK_SIZE, VOXEL_SIZE, DenoisingNetwork
from plugin_core.denoising.training.augmentation import Augmentation
from plugin_core.denoising.training.stream import BatchPlan, batches
from plugin_core.denoising.training.trainer import Loss, Schedule, Trainer
from relion_external.errors import UserError
from relion_external.progress import progress_bar
from relion_external.training_pairs import read_kept
from relion_external.training_processes import Processes
from relion_external.volumes import temporary_name

log = logging.getLogger(__name__)

VALIDATION_BATCHES = 8
LONGEST_FAILURE = 20
"""Steps in a row without a finite loss after which the training is given up."""


@dataclass(frozen=True)
class TrainingRun:
    """What one training is made of.

    Attributes
    ----------
    output : Path
        Weights; beside them are the checkpoint (.ckpt) and the losses (.jsonl, .png).
    pairs, validation : list of Path
        Kept pairs (:mod:`relion_external.training_pairs`).
    schedule, augmentation, plan
        How it is trained.
    save_every : int
        Steps between checkpoints, each with a validation.
    about : dict
        What the weights file says of its making.
    """

    output: Path
    pairs: list[Path]
    validation: list[Path]
    schedule: Schedule
    augmentation: Augmentation
    plan: BatchPlan
    save_every: int
    about: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """State of the training, from which it resumes."""
        return self.output.with_suffix(".ckpt")

    @property
    def losses(self) -> Path:
        """One line of JSON for each checkpoint."""
        return self.output.with_suffix(".jsonl")


class _Batches(IterableDataset):
    """The batches of one process, made in a process of their own."""

    def __init__(self, run: TrainingRun, first_step: int, streams: range) -> None:
        self._run, self._first_step, self._streams = run, first_step, streams

    def __iter__(self) -> Any:
        torch.set_num_threads(1)
        run = self._run
        return batches(
            run.plan,
            lambda number: read_kept(run.pairs[number]),
            run.augmentation,
            self._first_step,
            self._streams,
        )


def train(run: TrainingRun, network: DenoisingNetwork, processes: Processes) -> None:
    """Train `network` and write its weights; resume if there is a checkpoint.

    Raises
    ------
    UserError
        If the checkpoint is of another training.
    """
    # The channels of a voxel lie together: a step takes 0.7 of the time on a CPU.
    network.to(processes.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    trainer = Trainer(network, run.schedule)
    if run.checkpoint.exists():
        _resume(trainer, run)
    parallel = processes.parallel(Loss(trainer.network))
    held_out = _validation_batches(run)
    losses: list[float] = []
    started = time.monotonic()
    with progress_bar(run.schedule.steps, "training", "step") as bar:
        bar.update(trainer.step)
        for batch in _loader(run, trainer.step, processes):
            if trainer.step >= run.schedule.steps:
                break
            losses.append(trainer.train(batch.to(processes.device), parallel))
            _check(losses)
            bar.update(1)
            if trainer.step % run.save_every == 0 or trainer.step == run.schedule.steps:
                if processes.first:
                    seconds = (time.monotonic() - started) / len(losses)
                    _save(run, trainer, _mean(losses), held_out, seconds)
                losses.clear()
                started = time.monotonic()


def _check(losses: list[float]) -> None:
    """Give up where the training has come apart; a single bad batch was left out by the trainer."""
    last = losses[-LONGEST_FAILURE:]
    if len(last) == LONGEST_FAILURE and not any(math.isfinite(loss) for loss in last):
        raise UserError(
            f"the last {LONGEST_FAILURE} losses are not finite: lower --rate, or use --precision "
            "float32, and resume from the last checkpoint"
        )


def _mean(losses: list[float]) -> float:
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < len(losses):
        log.warning("%d batches with a loss that is not finite", len(losses) - len(finite))
    return sum(finite) / max(len(finite), 1)


def _loader(run: TrainingRun, first_step: int, processes: Processes) -> DataLoader:
    streams = processes.share(run.plan.batch)
    return DataLoader(
        _Batches(run, first_step, streams),
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",  # a fork would inherit PyTorch's threads half alive
    )


def _validation_batches(run: TrainingRun) -> list[Tensor]:
    """Blocks of the held-out pairs, the same at every validation."""
    if not run.validation:
        return []
    plan = BatchPlan(len(run.validation), run.plan.batch, blocks_per_pair=2, seed=0)
    supply = batches(
        plan,
        lambda number: read_kept(run.validation[number]),
        Augmentation(noise=0.0, blur=0.0, intensity=0.0, affine=0.0),
        0,
        range(plan.batch),
    )
    return [next(supply) for _ in range(VALIDATION_BATCHES)]


def _resume(trainer: Trainer, run: TrainingRun) -> None:
    state = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
    wanted = _fingerprint(run)
    if state["run"] != wanted:
        differing = sorted(key for key in wanted if state["run"].get(key) != wanted[key])
        raise UserError(
            f"{run.checkpoint} is of a training with other options ({', '.join(differing)}); "
            "give the same ones to resume it, or another --o to start anew"
        )
    trainer.load(state["trainer"])
    log.info("resumed at step %d from %s", trainer.step, run.checkpoint)


def _fingerprint(run: TrainingRun) -> dict[str, Any]:
    """What must be the same for a training to be resumed; its length may be changed."""
    schedule = asdict(run.schedule)
    del schedule["steps"]
    return {
        **schedule,
        **asdict(run.augmentation),
        **asdict(run.plan),
        "pair names": [path.name for path in run.pairs],
    }


def _save(
    run: TrainingRun, trainer: Trainer, loss: float, held_out: list[Tensor], seconds: float
) -> None:
    entry: dict[str, Any] = {"step": trainer.step, "loss": loss, "seconds_per_step": seconds}
    if held_out:
        entry["validation_loss"] = trainer.validate(held_out)
    with run.losses.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    _write(run.checkpoint, {"trainer": trainer.state(), "run": _fingerprint(run)})
    write_weights(run.output, trainer.average, {**run.about, "steps": trainer.step})
    draw_losses(run.losses, run.output.with_suffix(".png"))


def write_weights(path: Path, network: DenoisingNetwork, about: dict[str, Any]) -> None:
    """Write weights in the layout of the published ones, in half precision.

    Parameters
    ----------
    about : dict
        Plain values that say where the weights come from.
    """
    state = {name: value.half().cpu() for name, value in network.state_dict().items()}
    _write(
        path,
        {
            "model_state_dict": state,
            "voxel_size": VOXEL_SIZE,
            "block_size": BLOCK_SIZE,
            "about": about,
        },
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that `path` is either whole or as it was before."""
    temporary = temporary_name(path)
    torch.save(content, temporary)
    os.replace(temporary, path)


def draw_losses(losses: Path, picture: Path) -> None:
    """Plot training and validation loss over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    from relion_external.panels import BLUE, VERMILION

    entries = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.add_subplot()
    for key, label, colour in (
        ("loss", "training (augmented, recycled)", BLUE),
        ("validation_loss", "held-out structures", VERMILION),
    ):
        shown = [entry for entry in entries if key in entry]
        axis.plot([e["step"] for e in shown], [e[key] for e in shown], label=label, color=colour)
    axis.set_xlabel("step")
    axis.set_ylabel("mean square error, input deviation 1")
    axis.set_yscale("log")
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8)
    figure.savefig(picture, dpi=150)
