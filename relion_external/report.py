"""The report of a regularised pair of half-maps: one page, as PDF and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plugin_core.fsc import HALF_MAP_THRESHOLD
from plugin_core.regularizers.cutoffs import cutoff_percentiles
from relion_external.half_map_figures import HalfMapFigures
from relion_external.panels import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    Picture,
    draw_slices,
    frequencies,
    fsc_axis,
    resolution_axis,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = (
    ("corrected", "corrected for the mask", {"color": "black", "linewidth": 2}),
    ("masked", "in the mask", {"color": BLUE}),
    ("randomised", "in the mask, phases random", {"color": VERMILION, "linestyle": ":"}),
    ("spherical", "in a sphere", {"color": GREEN, "linestyle": "--"}),
    ("unmasked", "without mask", {"color": ORANGE, "linestyle": "-."}),
)


@dataclass(frozen=True)
class ReportContent:
    """What the report shows; maps are (N, N, N) float32 NumPy arrays.

    Attributes
    ----------
    title : str
    pictures : sequence of Picture
        Maps to show side by side, in the grey scale of the last.
    cutoff_angstrom : (N, N, N) float32, or None
        0 outside the support; None where there are no local cutoffs.
    figures : HalfMapFigures
    trailing_angstrom : float or None
        Where the regularised maps end.
    voxel_size : float
        In Å.
    """

    title: str
    pictures: Sequence[Picture]
    cutoff_angstrom: np.ndarray | None
    figures: HalfMapFigures
    trailing_angstrom: float | None
    voxel_size: float


def write_report(content: ReportContent, pdf: Path, png: Path) -> None:
    """Draw the report and write it to both paths."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.4), layout="constrained")
    figure.suptitle(content.title, fontsize=13)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.1))
    upper, lower = (figure.add_subfigure(grid[row]) for row in (0, 1))
    last = content.pictures[-1].volume
    draw_slices(upper, content.pictures, last, content.cutoff_angstrom, content.voxel_size)
    if content.cutoff_angstrom is None:
        fsc, directions = lower.subplots(1, 2, width_ratios=(1.35, 1))
    else:
        fsc, cutoffs, directions = lower.subplots(1, 3, width_ratios=(1.35, 1, 1))
        _draw_cutoffs(cutoffs, content.cutoff_angstrom, content.voxel_size)
    _draw_fsc(fsc, content)
    _draw_directions(directions, content)
    save(figure, pdf, "pdf")
    save(figure, png, "png")


def _draw_fsc(axis: Axes, content: ReportContent) -> None:
    fsc = content.figures.fsc
    for name, label, style in _CURVES:
        curve = getattr(fsc, name)
        if curve is not None:
            frequency = frequencies(len(curve), fsc.box, content.voxel_size)
            axis.plot(frequency, curve, label=label, **style)
    fsc_axis(axis, content.voxel_size, HALF_MAP_THRESHOLD)
    if content.trailing_angstrom is not None:
        label = f"regularised maps end: {content.trailing_angstrom:.1f} Å"
        axis.axvline(1 / content.trailing_angstrom, color=PURPLE, linewidth=1, label=label)
    headline = content.figures.headline.replace(" (", "\n(")
    axis.set_title(f"FSC of the raw half-maps: {headline}", fontsize=10)
    axis.legend(fontsize=8, loc="upper right")


def _draw_cutoffs(axis: Axes, cutoff_angstrom: np.ndarray, voxel_size: float) -> None:
    """Histogram over spatial frequency, in which the cutoffs to choose from are evenly spaced."""
    inside = cutoff_angstrom[cutoff_angstrom > 0]
    median = cutoff_percentiles(cutoff_angstrom)["cutoff_median_angstrom"]
    resolution_axis(axis, voxel_size)
    axis.hist(
        1 / inside,
        bins=30,
        range=axis.get_xlim(),
        weights=np.full(len(inside), 100 / len(inside)),
        color=BLUE,
    )
    axis.axvline(1 / median, color=VERMILION, linewidth=1)
    axis.set_xlabel("local cutoff (Å)")
    axis.set_ylabel("% of the support")
    axis.set_title(f"local cutoffs: median {median:.1f} Å", fontsize=10)
    axis.grid(alpha=0.25)


def _draw_directions(axis: Axes, content: ReportContent) -> None:
    directions = content.figures.directions
    box = content.figures.fsc.box
    frequency = frequencies(len(directions.whole), box, content.voxel_size)
    low, high = np.percentile(directions.curves, (5, 95), axis=0)
    everything = (directions.curves.min(axis=0), directions.curves.max(axis=0))
    axis.fill_between(frequency, *everything, color=BLUE, alpha=0.15, label="all directions")
    axis.fill_between(frequency, low, high, color=BLUE, alpha=0.35, label="90 % of directions")
    axis.plot(frequency, directions.whole, color="black", label="whole shells")
    fsc_axis(axis, content.voxel_size, HALF_MAP_THRESHOLD)
    finest, coarsest = (f(directions.resolution_angstrom) for f in (np.min, np.max))
    axis.set_title(
        f"FSC by direction: {finest:.1f} to {coarsest:.1f} Å, "
        f"area ratio {directions.area_ratio:.2f}",
        fontsize=10,
    )
    axis.legend(fontsize=8, loc="upper right")
