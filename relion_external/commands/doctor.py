"""``relion-external doctor``: what will run here, and what will not, before RELION finds out."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import shutil
import sys
import textwrap
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external import __version__, gpu_probe, hook_variable, network_weights, system
from relion_external.errors import UserError

if TYPE_CHECKING:
    from plugin_core.backend import Device

HELP = "say what will run here: Python, GPUs, RELION, the hook's environment variable, memory"

REQUIRED_PACKAGES = ("numpy", "scipy", "mrcfile", "starfile", "matplotlib", "tqdm")
RELION_PROGRAMS = ("relion_refine_mpi", "relion_refine", "mpirun")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "--box",
        type=int,
        metavar="N",
        help="also estimate disk, memory and time of one call at a box of N voxels",
    )
    parser.add_argument(
        "--padding",
        type=float,
        default=2.0,
        metavar="FACTOR",
        help="RELION's --pad of the refinement, for --box (default: 2)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; return 0 if RELION's hook will run here, 1 if not."""
    if args.box is not None and (args.box < 16 or args.box % 2):
        raise UserError(f"--box takes an even number of voxels, 16 or more, not {args.box}")
    if args.padding < 1:
        raise UserError(f"--padding takes RELION's padding factor, 1 or more, not {args.padding:g}")
    report = Report()
    report_python(report)
    packages_work = not report.problems
    report_gpus(report)
    report_machine(report)
    report_relion(report)
    report_hook(report)
    report_denoiser(report)
    if args.box is not None and packages_work:
        report_box(report, args.box, args.padding)
    print(report.text())
    return 1 if report.problems else 0


@dataclass
class Report:
    """Lines under headings, and the problems that keep the hook from running.

    Attributes
    ----------
    lines : list of str
        The report so far.
    problems : list of str
        Sentences without their full stop; none of them means that the hook will run.
    remedy : str
        The shell command that sets the hook, if that is a problem.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remedy: str = ""

    def heading(self, title: str) -> None:
        """Begin a section."""
        self.lines += ["", title]

    def row(self, name: str, value: str) -> None:
        """Add a name and what was found."""
        self.lines.append(_wrapped(f"  {name:<17} ", value))

    def text(self) -> str:
        """Return the whole report, closed by a plain sentence."""
        closing = [_wrapped("Not ready: ", f"{problem}.") for problem in self.problems]
        if self.remedy:
            closing += ["To set the hook without options:", f"  {self.remedy}"]
        if not closing:
            closing = ["Ready: RELION's --external_reconstruct will run relion-external here."]
        return "\n".join([f"relion-external {__version__}", *self.lines, "", *closing])


def report_python(report: Report) -> None:
    """Interpreter and packages: a package that cannot be imported is a problem."""
    report.heading("Python")
    report.row("interpreter", f"{sys.executable} ({platform.python_version()})")
    report.row("relion-external", str(Path(__file__).parents[1]))
    for name in REQUIRED_PACKAGES:
        try:
            importlib.import_module(name)
            version = metadata.version(name)
        except Exception as error:  # whatever a broken installation raises
            report.row(name, f"cannot be imported: {error}")
            report.problems.append(f"{sys.executable} cannot import the package {name}")
        else:
            report.row(name, version)


def report_gpus(report: Report) -> None:
    """GPUs that CuPy, with which the hook computes, and PyTorch see, with their memory."""
    report.heading("GPU")
    cupy = gpu_probe.probe("cupy")
    without = "so the hook computes on the CPU"
    if not cupy.installed:
        report.row(
            "CuPy",
            f"not installed, {without}; for an NVIDIA GPU: pip install cupy-cuda12x or, "
            "for CUDA 13, cupy-cuda13x",
        )
    else:
        _report_probe(report, "CuPy", cupy, f", {without}")
    torch = gpu_probe.probe("torch")
    if not torch.installed:
        report.row("PyTorch", "not installed; only the denoiser needs it: pip install torch")
    else:
        _report_probe(report, "PyTorch", torch, "")


def _report_probe(report: Report, name: str, found: gpu_probe.Probe, consequence: str) -> None:
    version = f"{found.version}, " if found.version else ""
    if found.error:
        report.row(name, f"{version}cannot reach a GPU{consequence}: {found.error}")
    elif not found.gpus:
        report.row(name, f"{version}sees no GPU{consequence}")
    for number, gpu in enumerate(found.gpus):
        memory = f"{_size(gpu.free_bytes)} of {_size(gpu.total_bytes)} free"
        told = f"GPU {number}: {gpu.name}, {memory}"
        report.row(*(("", told) if number else (name, version + told)))


def report_machine(report: Report) -> None:
    """Cores and memory left to this process."""
    report.heading("This machine")
    report.row("host", platform.node())
    report.row(
        "CPU cores",
        f"{system.usable_cores()} of {os.cpu_count()} usable, {_threads()} of them by each of the "
        "two half-maps' hooks, which RELION starts together",
    )
    report.row("memory", f"{_size(system.available_memory())} available")


def report_relion(report: Report) -> None:
    """RELION's programs on the PATH; without them the hook still runs where RELION starts it."""
    report.heading("RELION")
    version = system.relion_version()
    for program in RELION_PROGRAMS:
        path = shutil.which(program) or "not on the PATH"
        known = program == "relion_refine" and version
        report.row(program, f"{path} (version {version})" if known else path)


def report_hook(report: Report) -> None:
    """Whether RELION would find this program, and whether it answers."""
    report.heading("Hook")
    value = os.environ.get(hook_variable.NAME)
    report.row("variable", hook_variable.NAME)
    report.row("value", "not set" if value is None else value)
    state = hook_variable.examine(value)
    report.row("answers", state.answer or "no")
    if state.problem:
        report.problems.append(state.problem)
        report.remedy = hook_variable.suggestion()


def report_denoiser(report: Report) -> None:
    """Weights that --method denoiser would take; a problem if the hook asks for what is not there.

    With the denoiser in the hook's variable the weights are loaded, too.
    """
    report.heading("Denoiser (--method denoiser)")
    options = hook_variable.hook_options(os.environ.get(hook_variable.NAME))
    asked = options is not None and options.method == "denoiser"
    try:
        found = network_weights.find_weights(options.weights if options and asked else None)
        report.row("weights", f"{found.path} ({found.origin})")
        report.row("SHA-256", network_weights.file_sha256(found.path))
        if asked:
            network_weights.require_torch()
            width = network_weights.load_weights(found.path).trained.width
            report.row("network", f"{width} channels wide")
    except UserError as error:
        report.row("not ready", str(error))
        if asked:
            report.problems.append(f"{hook_variable.NAME} asks for the denoiser, but {error}")


def report_box(report: Report, box: int, padding: float) -> None:
    """Disk, memory and time of one hook call; too little memory is a problem."""
    from plugin_core.backend import select_device
    from plugin_core.cost import predict

    report.heading(f"One iteration at box {box}, padding {padding:g}")
    disk_bytes = relion_arrays_bytes(box, padding)
    free = shutil.disk_usage(Path.cwd()).free
    report.row(
        "RELION's arrays",
        f"{_size(disk_bytes)} on disk for each half-map, {_size(2 * disk_bytes)} for "
        f"both ({_size(free)} free here); RELION leaves them there",
    )
    device = select_device("auto")
    cost = predict(box, padding)
    if device.index is None:
        needed, free, what = 2 * cost.host_bytes, system.available_memory(), "memory"
        both = f", {_size(needed)} for both, which RELION starts together"
        report.row("peak memory", f"{_size(cost.host_bytes)} for each half-map{both}")
    else:
        needed, free, what = cost.device_bytes, device.free_bytes() or 0, "GPU memory"
        report.row("peak GPU memory", f"{_size(needed)} for each half-map")
    if needed > free:
        report.problems.append(
            f"this box needs {_size(needed)} of {what}, and {_size(free)} are free"
        )
    seconds = cost.fft_points * seconds_per_fft_point(device)
    report.row("time of the FFTs", f"about {_duration(seconds)} for each half-map, {device.name}")


def relion_arrays_bytes(box: int, padding: float) -> int:
    """Bytes of the three arrays that RELION writes for one half-map.

    Data (real, imaginary) and weight, float32, of shape (P, P, P//2 + 1) with P the padded box.
    """
    padded_box = math.floor(padding * box + 0.5)
    return 3 * padded_box**2 * (padded_box // 2 + 1) * 4


def seconds_per_fft_point(device: Device, size: int = 192) -> float:
    """Measure the time of a 3D real FFT, per voxel, on the device that the hook will use.

    The faster of two forward and inverse transforms of a box of `size` voxels, averaged over both
    directions.
    """
    from plugin_core.backend import fft_module

    volume = device.xp.ones((size,) * 3, dtype="float32")
    fft = fft_module(volume)
    options = {} if device.index is not None else {"workers": _threads()}

    def measure() -> float:
        start = time.perf_counter()
        result = fft.irfftn(fft.rfftn(volume, **options), s=volume.shape, **options)
        float(result[0, 0, 0])  # a GPU works on after the call has returned; wait for the result
        return time.perf_counter() - start

    measure()  # the first call makes plans and, on a GPU, compiles
    return min(measure(), measure()) / (2 * size**3)


def _threads() -> int:
    from relion_external.threads import usable_threads

    return usable_threads(None, shares_machine=True)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _wrapped(lead: str, text: str) -> str:
    """Wrap `text` behind `lead` to the terminal's width, paths unbroken, with a hanging indent."""
    return textwrap.fill(
        text,
        width=max(60, shutil.get_terminal_size(fallback=(100, 24)).columns),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
