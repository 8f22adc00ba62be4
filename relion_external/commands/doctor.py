"""``relion-external doctor``: what will run here, and what will not, before RELION finds out."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from relion_external import gpu_probe, hook_variable, network_weights, system
from relion_external.doctor_report import Report, size_text
from relion_external.errors import UserError
from relion_external.options import positive_number
from relion_external.threads import usable_threads

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
    parser.add_argument(
        "--angpix",
        type=positive_number,
        metavar="A",
        help="voxel size in Å, for --box with the denoiser (default: the network's own)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; return 0 if RELION's hook will run here, 1 if not."""
    if args.box is not None and (args.box < 16 or args.box % 2):
        raise UserError(f"--box takes an even number of voxels, 16 or more, not {args.box}")
    if args.padding < 1:
        raise UserError(f"--padding takes RELION's padding factor, 1 or more, not {args.padding:g}")
    report = Report()
    options = hook_variable.hook_options(os.environ.get(hook_variable.NAME))
    report_python(report)
    packages_work = not report.problems
    report_gpus(report)
    report_machine(report, options)
    report_relion(report)
    report_hook(report)
    report_denoiser(report, options)
    if options is not None and packages_work:
        report_options(report, options, args.box)
    if args.box is not None and packages_work:
        from relion_external.doctor_box import report_box

        report_box(report, options, args.box, args.padding, args.angpix)
    print(report.text())
    return 1 if report.problems else 0


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
        memory = f"{size_text(gpu.free_bytes)} of {size_text(gpu.total_bytes)} free"
        told = f"GPU {number}: {gpu.name}, {memory}"
        report.row(*(("", told) if number else (name, version + told)))


def report_machine(report: Report, options: argparse.Namespace | None) -> None:
    """Cores and memory left to this process."""
    threads = usable_threads(options.j if options else None, calls_at_once=2)
    report.heading("This machine")
    report.row("host", platform.node())
    report.row(
        "CPU cores",
        f"{system.usable_cores()} of {os.cpu_count()} usable, {threads} of them by each of the "
        "two half-maps' hooks, which RELION starts together",
    )
    report.row("memory", f"{size_text(system.available_memory())} available")


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


def report_denoiser(report: Report, options: argparse.Namespace | None) -> None:
    """Weights that --method denoiser would take, and the network in them if the hook asks for it.

    What keeps such a hook from running is told by :func:`report_options`.
    """
    report.heading("Denoiser (--method denoiser)")
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


def report_options(report: Report, options: argparse.Namespace, box: int | None) -> None:
    """What the variable's options ask for and this machine does not have: each is a problem."""
    from relion_external.hook_check import problems

    report.problems += [f"the hook would fail: {problem}" for problem in problems(options, box)]
