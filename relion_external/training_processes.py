"""The processes that train one network together: one for each GPU, started by torchrun."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from relion_external.errors import UserError

TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Processes:
    """One process among those that train together.

    Attributes
    ----------
    device : torch.device
    rank, count : int
        Number of this process and of all.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """Streams of a batch that this process supplies."""
        return range(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)

    def wait(self) -> None:
        """Wait for the others; PyTorch gives up after TIMEOUT_SECONDS."""
        if self.count > 1:
            distributed.barrier()

    def parallel(self, module: nn.Module) -> nn.Module | None:
        """Wrap a module so that gradients are averaged over the processes; None for one process."""
        if self.count == 1:
            return None
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)


def join(device_name: str) -> Processes:
    """Join the processes that torchrun started; alone if it did not.

    Parameters
    ----------
    device_name : str
        ``auto``, ``cpu`` or the number of a GPU; with torchrun, each process takes the GPU of its
        local rank unless it is ``cpu``.

    Raises
    ------
    UserError
        If a GPU is asked for that PyTorch does not see.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(_device(device_name))
    local = os.environ["LOCAL_RANK"]
    device = _device(device_name if device_name == "cpu" else local)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        timeout=timedelta(seconds=TIMEOUT_SECONDS),
    )
    return Processes(device, distributed.get_rank(), count)


def leave(processes: Processes) -> None:
    """Take leave of the others."""
    if processes.count > 1:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    number = 0 if name == "auto" else int(name)
    if number >= torch.cuda.device_count():
        raise UserError(
            f"--gpu {name}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} GPUs"
        )
    return torch.device("cuda", number)
