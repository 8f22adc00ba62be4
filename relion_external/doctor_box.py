"""What one iteration will take at a box, with the options of the hook: disk, memory, time."""

from __future__ import annotations

import argparse
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import scipy.fft

from plugin_core import cost
from plugin_core.backend import Device, fft_module
from plugin_core.padded_grid import PaddedGrid
from relion_external import hook_variable, system
from relion_external.call_memory import Need
from relion_external.devices import open_device
from relion_external.doctor_report import Report, size_text
from relion_external.errors import UserError
from relion_external.hook_check import open_hooks_denoiser
from relion_external.threads import usable_threads

HALVES = 2
"""Calls that RELION makes at once: one for each half-set."""


def report_box(
    report: Report,
    options: argparse.Namespace | None,
    box: int,
    padding: float,
    voxel_size: float | None,
) -> None:
    """Disk, memory and time of one call, and memory of two at once; too little is a problem.

    Parameters
    ----------
    report : Report
    options : argparse.Namespace or None
        Of the hook; None where they cannot be told, for a hook without options.
    box : int
        N, voxels a side.
    padding : float
        RELION's padding factor.
    voxel_size : float, optional
        In Å; that of --angpix among the options, else the network's own, if not given.

    Raises
    ------
    UserError
        If box and padding do not go together.
    """
    try:
        grid = PaddedGrid(box, padding, box // 2)
    except ValueError as error:
        raise UserError(f"--padding: {error}") from error
    known = options is not None
    options = options or hook_variable.hook_options("relion-external reconstruct")
    assert options is not None
    report.heading(f"One iteration at box {box}, padding {padding:g}")
    report.row("hook", _described(options) if known else "taken to have no options")
    _report_disk(report, grid)
    try:
        if options.method == "denoiser":
            _report_denoiser(report, options, grid, voxel_size)
        else:
            _report_arrays_only(report, options, grid)
    except UserError as error:  # one of the problems that are told in any case
        report.row("memory, time", f"not known: {error}")


def relion_arrays_bytes(box: int, padding: float) -> int:
    """Bytes of the three arrays that RELION writes for one half-map.

    Data (real, imaginary) and weight, float32, of shape (P, P, P//2 + 1) with P the padded box.
    """
    padded_box = math.floor(padding * box + 0.5)
    return 3 * padded_box**2 * (padded_box // 2 + 1) * 4


def seconds_per_fft_point(device: Device, threads: int, size: int = 192) -> float:
    """Measure the time of a 3D real FFT, per voxel, on the device that the hook will use.

    The faster of two forward and inverse transforms of a box of `size` voxels, averaged over both
    directions.
    """
    volume = device.xp.ones((size,) * 3, dtype="float32")
    fft = fft_module(volume)
    options = {} if device.index is not None else {"workers": threads}

    def transform() -> None:
        result = fft.irfftn(fft.rfftn(volume, **options), s=volume.shape, **options)
        float(result[0, 0, 0])  # a GPU works on after the call has returned; wait for the result

    return _seconds(transform) / (2 * size**3)


def _report_disk(report: Report, grid: PaddedGrid) -> None:
    disk_bytes = relion_arrays_bytes(grid.box, grid.padding)
    free = shutil.disk_usage(Path.cwd()).free
    report.row(
        "RELION's arrays",
        f"{size_text(disk_bytes)} on disk for each half-map, {size_text(2 * disk_bytes)} for "
        f"both ({size_text(free)} free here); RELION leaves them there",
    )


def _report_arrays_only(report: Report, options: argparse.Namespace, grid: PaddedGrid) -> None:
    predicted = cost.predict(
        grid.box,
        grid.padding,
        levels=options.levels,
        risk=options.risk if options.method == "nonuniform" else None,
        gridding=options.gridding,
    )
    devices = [open_device(options, request) for request in _requests(options)]
    needs = []
    for device in devices:
        on_gpu = device.index is not None
        if on_gpu:
            needs.append(Need(device.name, predicted.device_bytes, device.free_bytes()))
        if not on_gpu or options.gridding:
            needs.append(Need("CPU", predicted.host_bytes, None))
    _report_memory(report, needs)
    threads = usable_threads(options.j, calls_at_once=HALVES)
    seconds = predicted.fft_points * seconds_per_fft_point(devices[0], threads)
    beside = ""
    if options.risk == "quarter":
        beside = ", beside what relion_reconstruct takes for the quarter-maps"
    report.row(
        "time of the FFTs",
        f"about {_duration(seconds)} for each half-map, by a transform timed just now on the "
        f"{devices[0].name}{beside}",
    )


def _report_denoiser(
    report: Report, options: argparse.Namespace, grid: PaddedGrid, voxel_size: float | None
) -> None:
    requests = _requests(options)
    denoisers = [open_hooks_denoiser(options, request) for request in requests]
    first = denoisers[0]
    told = voxel_size or options.angpix
    voxel_size = told or first.weights.voxel_size
    report.row(
        "network",
        f"{first.weights.trained.width} channels wide; map of {voxel_size:g} Å a voxel"
        + ("" if told else ", the network's own: --angpix tells another"),
    )
    needs = []
    for request, denoiser in zip(requests, denoisers, strict=True):
        needs += denoiser.needs(grid, voxel_size, open_device(options, request))
    _report_memory(report, needs, ", beside PyTorch itself")
    if first.parameters.device.device.type != "cpu":
        report.row("time", "not told: the network is timed on the CPU only")
        return
    blocks = first.most_blocks(grid.box, voxel_size)
    with scipy.fft.set_workers(usable_threads(options.j, calls_at_once=HALVES)):
        seconds = _seconds(first.denoise_one_block)
    report.row(
        "network's time",
        f"about {_duration(blocks * seconds)} at most for each half-map: {blocks} blocks if the "
        f"mask fills the box, {seconds:.2g} s for one, timed just now on the CPU",
    )


def _report_memory(report: Report, needs: list[Need], beside: str = "") -> None:
    """Say for each device what one call takes, and what those take that are there at once."""
    for name in dict.fromkeys(need.device for need in needs):
        there = [need for need in needs if need.device == name]
        one, together = there[0].need_bytes, sum(need.need_bytes for need in there)
        free = there[0].free_bytes
        free = system.available_memory() if free is None else free
        calls = len(there)
        told = f"{size_text(one)} for one call"
        if calls > 1:
            told += f", {size_text(together)} for the two that RELION starts at once"
        report.row(f"{name} memory", f"{told}{beside} ({size_text(free)} free)")
        if together > free:
            count = "two calls at once" if calls > 1 else "one call"
            report.problems.append(
                f"at this box {count} of the hook need {size_text(together)} of {name} memory, "
                f"and {size_text(free)} are free"
            )


def _requests(options: argparse.Namespace) -> list[str]:
    """What --gpu gives to each half-set."""
    requests = options.gpu.split(",")
    return [requests[half % len(requests)] for half in range(HALVES)]


def _described(options: argparse.Namespace) -> str:
    parts = [f"--method {options.method}"]
    if options.method == "nonuniform":
        parts.append(f"--risk {options.risk}")
    if options.gridding:
        parts.append("--gridding")
    return " ".join([*parts, f"--gpu {options.gpu}"])


def _seconds(work: Callable[[], object]) -> float:
    """The faster of two runs; one before them makes plans and, on a GPU, compiles."""
    work()
    found = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
