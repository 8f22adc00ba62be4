"""What is said about a call: in its log, on stdout for run.out, and in the run's history."""

from __future__ import annotations

import argparse
import datetime
import logging
import platform
from typing import Any

import numpy as np
import scipy

from plugin_core.backend import Device
from relion_external import __version__
from relion_external.call_log import Stopwatch, append_history, peak_memory_bytes
from relion_external.iteration import HookCall, PreviousIteration
from relion_external.outputs import Outputs

log = logging.getLogger(__name__)


def log_start(
    call: HookCall,
    previous: PreviousIteration,
    options: argparse.Namespace,
    device: Device,
    threads: int,
) -> None:
    """Log what is about to be done, by what and with which options."""
    log.info(
        "relion-external %s, Python %s, NumPy %s, SciPy %s",
        __version__,
        platform.python_version(),
        np.__version__,
        scipy.__version__,
    )
    log.info("%s: %s, %s map", call.star_path, call.name, call.mode)
    log.info(
        "box %d, padding %g, measured up to shell %d, T %g, data dimension %d",
        call.box,
        call.padding,
        call.max_shell,
        call.tau2_fudge,
        previous.data_dimension,
    )
    chosen = {key: value for key, value in vars(options).items() if key not in ("run", "star")}
    log.info("options: %s", " ".join(f"{key}={value}" for key, value in sorted(chosen.items())))
    log.info("device: %s, %d thread(s)", device.description, threads)
    if not previous.optimiser:
        log.warning(
            "%s is missing: gradient refinement and sub-tomograms cannot be recognised",
            previous.optimiser_path,
        )


def finish(
    call: HookCall,
    outputs: Outputs,
    options: argparse.Namespace,
    device: Device,
    watch: Stopwatch,
    figures: dict[str, Any],
) -> None:
    """Log the outcome, add it to the history and print the line for run.out."""
    entry = {
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "version": __version__,
        "iteration": call.name.iteration,
        "half": call.name.half,
        call.name.kind: call.name.number,
        "map": call.mode,
        "method": options.method,
        **figures,
        "device": device.name,
        "seconds": round(watch.total(), 3),
        "stages": {stage: round(seconds, 3) for stage, seconds in watch.seconds.items()},
        "peak_memory_bytes": peak_memory_bytes(),
    }
    for key, value in entry.items():
        log.info("%s: %s", key, value)
    append_history(outputs.history, entry)
    print(_line(call, entry), flush=True)


def _line(call: HookCall, entry: dict[str, Any]) -> str:
    """One sentence for a person reading run.out."""
    method = entry["method"]
    if "risk" in entry:
        method += f" ({entry['risk']})"
    if "weights" in entry:
        method += f" ({entry['weights']})"
    parts = [f" relion-external: {call.name}, {method} on {entry['device']}"]
    if "cutoff_median_angstrom" in entry:
        parts.append(
            f"local cutoff median {entry['cutoff_median_angstrom']:.1f} Å "
            f"(5th to 95th percentile {entry['cutoff_5th_percentile_angstrom']:.1f} to "
            f"{entry['cutoff_95th_percentile_angstrom']:.1f} Å)"
        )
    if entry.get("trailing_angstrom"):
        parts.append(f"trailing at {entry['trailing_angstrom']:.1f} Å")
    parts.append(f"{entry['seconds']:.1f} s")
    return ", ".join(parts)
