"""Between the project's arrays (NumPy, CuPy) and PyTorch's tensors, and where tensors can live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from plugin_core.backend import Array, Device, DeviceError, array_module


@dataclass(frozen=True)
class NetworkDevice:
    """Where the network runs.

    Attributes
    ----------
    device : torch.device
    name : str
        ``"CPU"`` or ``"GPU <id>"``.
    description : str
        One phrase for the log: which device it is and why it was taken.
    """

    device: torch.device
    name: str
    description: str

    def free_bytes(self) -> int | None:
        """Free memory of a GPU in bytes, what PyTorch holds unused included; None on the CPU."""
        if self.device.type == "cpu":
            return None
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(torch.cuda.mem_get_info(self.device)[0]) + unused


def select_network_device(request: str, arrays: Device) -> NetworkDevice:
    """Choose where the network runs: on the GPU that has the arrays, or the one asked for.

    Parameters
    ----------
    request : str
        ``"cpu"``, ``"auto"`` or a CUDA device number.
    arrays : Device
        Where the other work is done: the CPU where CuPy is missing, which PyTorch can do without.

    Raises
    ------
    DeviceError
        If a GPU was asked for by number that PyTorch does not see.
    """
    if request == "cpu":
        return NetworkDevice(torch.device("cpu"), "CPU", "CPU (asked for)")
    reason = _no_gpu()
    index = int(request) if request.isdigit() else arrays.index or 0
    if reason is None and index < torch.cuda.device_count():
        model = torch.cuda.get_device_name(index)
        return NetworkDevice(torch.device("cuda", index), f"GPU {index}", f"GPU {index}, {model}")
    reason = reason or f"PyTorch sees {torch.cuda.device_count()} GPU(s), numbered from 0"
    if request.isdigit():
        raise DeviceError(f"--gpu {request} was asked for, but there is no such GPU: {reason}")
    return NetworkDevice(torch.device("cpu"), "CPU", f"CPU ({reason})")


def to_tensor(array: Array, device: torch.device) -> Tensor:
    """Tensor of an array, on `device`; memory is shared where they live on the same one."""
    if array_module(array) is np:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return torch.utils.dlpack.from_dlpack(array).to(device)


def to_array(tensor: Tensor, like: Array) -> Array:
    """Array of a tensor, of the kind and on the device of `like`."""
    xp = array_module(like)
    if xp is np:
        return tensor.cpu().numpy()
    return xp.from_dlpack(tensor.to(torch.device("cuda", like.device.id)).contiguous())


@contextmanager
def shared_threads() -> Iterator[None]:
    """Let PyTorch use as many threads as SciPy's transforms (``scipy.fft.set_workers``)."""
    before = torch.get_num_threads()
    torch.set_num_threads(scipy.fft.get_workers())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _no_gpu() -> str | None:
    """Why PyTorch has no GPU; None if it has."""
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA"
    return None if torch.cuda.is_available() else "PyTorch sees no GPU"
