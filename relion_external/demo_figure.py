"""The demonstration's picture: slices, the cutoff map and curves, each with its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relion_external.panels import (
    BLUE,
    VERMILION,
    Picture,
    draw_slices,
    frequencies,
    fsc_axis,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Line styles differ as well as colours.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "linestyle": "--"},
    {"color": VERMILION, "linestyle": "-"},
)
MARKERS = "so"


@dataclass(frozen=True)
class Method:
    """One of the methods compared: its curves, in the order of the styles.

    Attributes
    ----------
    name : str
    fsc_to_truth : (N // 2 + 1,) float64
    angular_errors : sequence of float
        Median error in degrees by iteration, the start first; empty without a refinement.
    """

    name: str
    fsc_to_truth: NDArray[np.float64]
    angular_errors: Sequence[float] = field(default_factory=tuple)


def draw(
    path: Path,
    title: str,
    pictures: Sequence[Picture],
    cutoff_angstrom: NDArray[np.float32],
    methods: Sequence[Method],
    voxel_size: float,
    fsc_title: str,
) -> None:
    """Draw the figure and write it to `path` (PNG).

    All pictures share the grey scale of the first, the truth. The slices hold the membrane normal
    (z), which points up.
    """
    from matplotlib.figure import Figure

    width, lower_height = 13.0, 3.3
    upper_height = width / (len(pictures) + 1.4) + 0.35  # square panels and their titles
    figure = Figure(figsize=(width, upper_height + lower_height + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=13)
    grid = figure.add_gridspec(2, 1, height_ratios=(upper_height, lower_height))
    upper, lower = (figure.add_subfigure(grid[row]) for row in (0, 1))
    draw_slices(upper, pictures, pictures[0].volume, cutoff_angstrom, voxel_size)
    with_errors = any(method.angular_errors for method in methods)
    panels = lower.subplots(1, 2 if with_errors else 1, squeeze=False)[0]
    box = pictures[0].volume.shape[0]
    _draw_fsc(panels[0], methods, box, voxel_size, fsc_title)
    if with_errors:
        _draw_errors(panels[1], methods)
    save(figure, path, "png")


def _draw_fsc(
    axis: Axes, methods: Sequence[Method], box: int, voxel_size: float, title: str
) -> None:
    frequency = frequencies(len(methods[0].fsc_to_truth), box, voxel_size)
    for method, style in zip(methods, STYLES, strict=False):
        axis.plot(frequency, method.fsc_to_truth, label=method.name, **style)
    fsc_axis(axis, voxel_size, threshold=0.5)
    axis.set_title(title, fontsize=10)
    axis.legend(frameon=False)


def _draw_errors(axis: Axes, methods: Sequence[Method]) -> None:
    for method, style, marker in zip(methods, STYLES, MARKERS, strict=False):
        axis.plot(method.angular_errors, label=method.name, marker=marker, markersize=4, **style)
    axis.set_ylim(bottom=0)
    axis.set_xticks(range(len(methods[0].angular_errors)))
    axis.set_xlabel("iteration (0: the start)")
    axis.set_ylabel("degrees")
    axis.set_title("median angular error to the true orientations", fontsize=10)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="lower left")
