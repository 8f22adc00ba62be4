"""One network, its optimiser, and one step of training."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plugin_core.denoising.network import DenoisingNetwork
from plugin_core.denoising.training.loss import density_loss, total_loss

AVERAGING = 0.999
"""Share of the running average of the weights that a step leaves as it is."""


LARGEST_GRADIENT = 1.0
"""Norm to which a larger gradient is cut."""


@dataclass(frozen=True)
class Schedule:
    """How the network is trained.

    Attributes
    ----------
    steps : int
        Length of the whole training.
    learning_rate : float
        Highest learning rate; it rises over the first steps and falls to zero along a cosine.
    recycles : int
        The network is first applied 0 to this many times, drawn anew in every step.
    seed : int
    precision : str
        ``"float32"``, or ``"bfloat16"`` for mixed precision.
    """

    steps: int
    learning_rate: float = 1e-3
    recycles: int = 5
    seed: int = 0
    precision: str = "float32"

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        warm_up = max(1, min(200, self.steps // 10))
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.steps))
        return self.learning_rate * min(1.0, (step + 1) / warm_up) * cosine


class Trainer:
    """Train a network step by step.

    Parameters
    ----------
    network : DenoisingNetwork
        Trained in place.
    schedule : Schedule
    """

    def __init__(self, network: DenoisingNetwork, schedule: Schedule) -> None:
        self.network = network
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.schedule = schedule
        self.step = 0
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate)

    def train(self, batch: Tensor, parallel: nn.Module | None = None) -> float:
        """Take one step on a batch and return its loss.

        A batch whose loss or gradient is not finite leaves the weights as they are.

        Parameters
        ----------
        batch : (B, 4, D, D, D) float32, on the network's device
        parallel : Module, optional
            A DistributedDataParallel module around :class:`Loss`, where several processes train.
        """
        generator = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + self.step)
        recycles = int(torch.randint(self.schedule.recycles + 1, (), generator=generator))
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))  # the dropout's
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self.network.train()
        with self._precision(batch.device):
            loss = (parallel or Loss(self.network))(batch, recycles)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    @torch.no_grad()
    def validate(self, batches: list[Tensor]) -> float:
        """Mean density loss of the averaged network on batches, without recycling."""
        device = next(self.average.parameters()).device
        with self._precision(device):
            losses = [density_loss(self.average, batch.to(device), 0)[0] for batch in batches]
        return float(torch.stack(losses).mean())

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _average(self) -> None:
        """Let the average follow; at the start it follows fast, to forget the random weights."""
        keep = min(AVERAGING, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)

    def _precision(self, device: torch.device) -> torch.autocast:
        mixed = self.schedule.precision == "bfloat16"
        # Without the cache: a weight cast in a recycled pass, without gradient, must not be reused.
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed, cache_enabled=False)


class Loss(nn.Module):
    """The loss as a module, which is what DistributedDataParallel can share among processes."""

    def __init__(self, network: DenoisingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor, recycles: int) -> Tensor:
        """Loss of a batch."""
        return total_loss(self.network, batch, recycles)


def new_network(width: int, dropout: float, seed: int) -> DenoisingNetwork:
    """Make an untrained network that leaves its input as it is."""
    torch.manual_seed(seed)
    network = DenoisingNetwork(width, dropout)
    nn.init.zeros_(network.outc.weight)
    nn.init.zeros_(network.outc.bias)  # type: ignore[arg-type]
    return network
