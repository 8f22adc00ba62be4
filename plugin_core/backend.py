"""NumPy or CuPy: the only file that knows one from the other.

Array code asks :func:`array_module` and :func:`fft_module` what its input is made of, so one
function body serves both. FFTs on the CPU come from SciPy: multithreaded, single precision, and
four times quicker to import than PyTorch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

Array = Any
"""A NumPy or CuPy array; the two share no base class."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class DeviceError(ValueError):
    """The requested device is not there, or has too little memory."""


@dataclass(frozen=True)
class Device:
    """Where the arrays of one call live.

    Attributes
    ----------
    name : str
        ``"CPU"`` or ``"GPU <id>"``.
    description : str
        One phrase for the log: which device it is and why it was taken.
    index : int or None
        CUDA device number; None on the CPU.
    """

    name: str
    description: str
    index: int | None = None

    @property
    def xp(self) -> ModuleType:
        """The array module: numpy, or cupy."""
        return np if self.index is None else _import_cupy()

    def free_bytes(self) -> int | None:
        """Free memory of a GPU in bytes; None on the CPU."""
        if self.index is None:
            return None
        with self.xp.cuda.Device(self.index):
            return int(self.xp.cuda.runtime.memGetInfo()[0])

    def release_unused(self) -> None:
        """Give memory that CuPy keeps for later back to the GPU, for other libraries to use."""
        if self.index is not None:
            self.xp.get_default_memory_pool().free_all_blocks()


def array_module(array: Array) -> ModuleType:
    """Return numpy or cupy, whichever `array` belongs to."""
    return _import_cupy() if type(array).__module__.partition(".")[0] == "cupy" else np


def fft_module(array: Array) -> ModuleType:
    """Return the SciPy-style FFT module for `array`: scipy.fft or cupyx.scipy.fft."""
    if array_module(array) is np:
        import scipy.fft

        return scipy.fft
    import cupyx.scipy.fft

    return cupyx.scipy.fft


def to_host(array: Array) -> np.ndarray:
    """Return `array` as a NumPy array, copied from the GPU where it lies there."""
    return array if array_module(array) is np else array_module(array).asnumpy(array)


_SLAB_ELEMENTS = 1 << 17
"""Elements handled at a time on the CPU: a few such arrays fit into a core's cache."""

DEVICE_SLAB_ELEMENTS = 1 << 25
"""Elements handled at a time on a GPU: enough to keep it busy, and a bound on temporary arrays."""


def for_slabs(array: Array, function: Callable[[slice], None], axis: int = 0) -> None:
    """Call `function` with slices of an axis that together cover `array`.

    What is done slab by slab keeps its temporaries small: in cache on the CPU, where it runs on as
    many threads as SciPy's transforms.
    """
    length = array.shape[axis]
    on_cpu = array_module(array) is np
    elements = _SLAB_ELEMENTS if on_cpu else DEVICE_SLAB_ELEMENTS
    depth = elements * length // max(array.size, 1)
    if on_cpu:
        depth = min(depth, -(-length // usable_threads()))
    depth = max(depth, 1)
    slabs = [slice(start, min(start + depth, length)) for start in range(0, length, depth)]
    if on_cpu:
        in_threads(partial(_call_each, function), slabs)
    else:
        _call_each(function, slabs)


def usable_threads() -> int:
    """Threads that SciPy's transforms use on the CPU (``scipy.fft.set_workers``)."""
    import scipy.fft

    return int(scipy.fft.get_workers())


def in_threads(function: Callable[[list[Item]], Result], items: Iterable[Item]) -> list[Result]:
    """Deal items out to :func:`usable_threads` threads; return what each made of its share.

    The shares depend on nothing but the number of threads. Inside `function` transforms use one.
    """
    everything, threads = list(items), usable_threads()
    if threads == 1:
        return [function(everything)]
    return list(_pool(threads).map(function, [everything[i::threads] for i in range(threads)]))


def for_blocks(
    items: Iterable[Item],
    load: Callable[[Item], Result],
    work: Callable[[Item, Result], None],
    xp: ModuleType,
) -> None:
    """Call ``work(item, load(item))`` for each item, where loading means reading from a file.

    Parameters
    ----------
    xp : module
        What the work is done with. With NumPy, items are dealt out to threads. With CuPy, they are
        taken one after another, and the next is loaded while the GPU is at work: CuPy's uploads go
        through page-locked memory and return before the GPU has finished.
    """

    def load_and_work(share: list[Item]) -> None:
        for item in share:
            work(item, load(item))

    if xp is np:
        in_threads(load_and_work, items)
        return
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        for item in items:
            waiting.append((item, reader.submit(load, item)))
            if len(waiting) > 1:
                first, loaded = waiting.popleft()
                work(first, loaded.result())
        for first, loaded in waiting:
            work(first, loaded.result())


def _call_each(function: Callable[[slice], None], slabs: list[slice]) -> None:
    for slab in slabs:
        function(slab)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def copy_where(target: Array, source: Array, condition: Array) -> None:
    """Set `target` to `source` where `condition` holds; both float32, of one shape.

    On the CPU the bits are mixed without a branch: numpy.copyto tests each element, which takes
    seven times as long.
    """
    xp = array_module(target)
    if xp is not np:
        xp.copyto(target, source, where=condition)
        return
    bits = target.view(np.int32)
    chosen = -condition.view(np.int8).astype(np.int32)  # all bits set where the condition holds
    bits ^= (bits ^ source.view(np.int32)) & chosen


def select_device(request: str) -> Device:
    """Choose where to compute.

    Parameters
    ----------
    request : str
        ``"cpu"``, a CUDA device number such as ``"0"``, or ``"auto"``: the first GPU when CuPy
        sees one, else the CPU.

    Raises
    ------
    DeviceError
        If a GPU was asked for by number and is not there. ``"auto"`` never raises, and its
        description says why the CPU was taken.
    """
    if request == "cpu":
        return Device("CPU", "CPU (asked for)")
    if request == "auto":
        count, reason = _count_gpus()
        return _open_gpu(0, "first GPU found") if count else Device("CPU", f"CPU ({reason})")
    if not request.isdigit():
        raise DeviceError(f"--gpu takes auto, cpu or a device number, not {request!r}")
    count, reason = _count_gpus()
    if int(request) >= count:
        found = f"{count} GPU(s) found, numbered from 0" if count else reason
        raise DeviceError(f"--gpu {request} was asked for, but there is no such GPU: {found}")
    return _open_gpu(int(request), "asked for")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` means that host or device memory ran out."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def is_device_failure(error: BaseException) -> bool:
    """Tell whether `error` comes from the GPU, its driver or CUDA's libraries."""
    return type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")


def _open_gpu(index: int, why: str) -> Device:
    cupy = _import_cupy()
    cupy.cuda.Device(index).use()
    model = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
    return Device(f"GPU {index}", f"GPU {index}, {model} ({why})", index)


def _count_gpus() -> tuple[int, str]:
    """Return the number of GPUs and, when it is zero, the reason in words."""
    try:
        cupy = _import_cupy()
    except ImportError:
        return 0, "CuPy is not installed"
    try:
        return int(cupy.cuda.runtime.getDeviceCount()), "CuPy sees no GPU"
    except Exception as error:  # the driver's own error classes differ from version to version
        return 0, f"CuPy cannot reach a GPU: {error}"


def _import_cupy() -> ModuleType:
    import cupy

    return cupy
