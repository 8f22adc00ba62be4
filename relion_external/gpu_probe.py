"""Which GPUs a library sees, asked in a process of its own.

A broken CUDA installation can end a process or hang it as well as raise an error; the process that
asks must survive all three.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from relion_external.system import ask


@dataclass(frozen=True)
class Gpu:
    """One CUDA device: its name and its memory in bytes."""

    name: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Probe:
    """What a library said about itself and its devices.

    Attributes
    ----------
    version : str or None
        None if the library is not installed, or did not get as far as telling it.
    gpus : tuple of Gpu
        In the order of their device numbers.
    error : str or None
        One line if the library is installed but cannot reach a GPU.
    """

    installed: bool
    version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    error: str | None = None


def probe(library: str, limit_s: float = 60) -> Probe:
    """Ask `library`, ``"cupy"`` or ``"torch"``, for its version and its GPUs."""
    if find_spec(library) is None:
        return Probe(installed=False)
    answer = ask([sys.executable, "-m", __name__, library], limit_s)
    if answer.status is None:
        return Probe(installed=True, error=f"no answer within {limit_s:g} s")
    if answer.status != 0:
        last_line = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        return Probe(installed=True, error=f"{last_line} (exit status {answer.status})")
    found = json.loads(answer.stdout.splitlines()[-1])
    gpus = tuple(Gpu(*gpu) for gpu in found["gpus"])
    return Probe(True, found["version"], gpus, found["error"])


def _ask_cupy() -> dict[str, object]:
    import cupy

    runtime = cupy.cuda.runtime
    found: dict[str, object] = {"version": cupy.__version__, "gpus": [], "error": None}
    try:
        gpus = []
        for number in range(runtime.getDeviceCount()):
            with cupy.cuda.Device(number):
                name = runtime.getDeviceProperties(number)["name"].decode()
                gpus.append((name, *runtime.memGetInfo()))
        found["gpus"] = gpus
    except Exception as error:  # the driver's error classes differ from version to version
        found["error"] = " ".join(str(error).split())
    return found


def _ask_torch() -> dict[str, object]:
    import torch

    found: dict[str, object] = {"version": torch.__version__, "gpus": [], "error": None}
    if torch.version.cuda is None:
        found["error"] = "built without CUDA"
        return found
    try:
        found["gpus"] = [
            (torch.cuda.get_device_name(number), *torch.cuda.mem_get_info(number))
            for number in range(torch.cuda.device_count())
        ]
    except Exception as error:
        found["error"] = " ".join(str(error).split())
    return found


if __name__ == "__main__":
    print(json.dumps({"cupy": _ask_cupy, "torch": _ask_torch}[sys.argv[1]]()))
