"""The history of a run: one line of JSON for each call of the hook, read and drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_external.errors import UserError
from relion_external.panels import BLUE, GREEN, PURPLE, VERMILION, save
from relion_external.volumes import temporary_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Entry = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One figure of the history over the iterations.

    Attributes
    ----------
    iterations : list of int
    values : list of float
        Mean over the calls of each iteration (half-sets, classes or bodies).
    """

    iterations: list[int]
    values: list[float]


def read_history(path: Path) -> list[Entry]:
    """Read a history; of calls that were repeated only the last counts.

    Raises
    ------
    UserError
        If the file is missing, empty or not a history.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        last = {tuple(entry.get(key) for key in _CALL): entry for entry in entries}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: has the hook run?") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a history of the hook: {error}") from error
    if not last:
        raise UserError(f"{path} holds no call of the hook")
    return sorted(last.values(), key=lambda entry: int(entry["iteration"]))


def forget_calls_after(path: Path, iteration: int) -> None:
    """Drop the calls of later iterations, which a continued run makes again.

    A line that was cut off when the run was goes as well.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if _iteration(line) <= iteration]
    temporary = temporary_name(path)
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def _iteration(line: str) -> float:
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return math.inf


_CALL = ("iteration", "half", "class", "body")
"""Keys that name a call."""


def column(entries: Iterable[Entry], key: str) -> Column:
    """Return a figure over the iterations, leaving out calls that lack it."""
    found: dict[int, list[float]] = {}
    for entry in entries:
        if entry.get(key) is not None:
            found.setdefault(int(entry["iteration"]), []).append(float(entry[key]))
    return Column(list(found), [sum(values) / len(values) for values in found.values()])


def draw_history(entries: list[Entry], title: str, pdf: Path, png: Path) -> None:
    """Draw how resolution, cutoffs and time went from iteration to iteration."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(title, fontsize=13)
    resolution, seconds = figure.subplots(1, 2, width_ratios=(1.6, 1))
    _draw_resolution(resolution, entries)
    _draw_seconds(seconds, entries)
    save(figure, pdf, "pdf")
    save(figure, png, "png")


def _draw_resolution(axis: Axes, entries: list[Entry]) -> None:
    halves = [entry for entry in entries if entry.get("map") != "joined"]
    fine = column(halves, "cutoff_5th_percentile_angstrom")
    coarse = column(halves, "cutoff_95th_percentile_angstrom")
    if fine.iterations:
        axis.fill_between(
            fine.iterations,
            fine.values,
            coarse.values,
            color=BLUE,
            alpha=0.2,
            label="local cutoffs, 5th to 95th percentile",
        )
    curves: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("cutoff_median_angstrom", "local cutoffs, median", {"color": BLUE, "marker": "o"}),
        ("fsc_0143_angstrom", "FSC 0.143 of the raw half-maps", {"color": "black", "marker": "s"}),
        ("trailing_angstrom", "reference ends", {"color": PURPLE, "linestyle": "--"}),
    )
    for key, label, style in curves:
        curve = column(halves, key)
        if curve.iterations:
            axis.plot(curve.iterations, curve.values, label=label, markersize=4, **style)
    axis.set_yscale("log")
    ticks = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40)
    low, high = axis.get_ylim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_yticks(shown, [str(tick) for tick in shown])
    axis.set_yticks([], minor=True)
    axis.invert_yaxis()  # finer is higher
    axis.set_ylabel("Å")
    _iteration_axis(axis)
    if axis.has_data():  # a uniform filter has neither cutoffs nor, in a classification, an FSC
        axis.legend(fontsize=8)


def _draw_seconds(axis: Axes, entries: list[Entry]) -> None:
    total = column(entries, "seconds")
    axis.plot(total.iterations, total.values, color=GREEN, marker="o", markersize=4, label="mean")
    for entry in entries:
        axis.plot(entry["iteration"], entry["seconds"], ".", color=VERMILION, markersize=4)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("seconds a call")
    _iteration_axis(axis)
    devices = sorted({str(entry["device"]) for entry in entries})
    axis.set_title(f"on {', '.join(devices)}", fontsize=10)


def _iteration_axis(axis: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel("iteration")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.25)
