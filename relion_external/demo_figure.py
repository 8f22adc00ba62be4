"""The demonstration's picture: slices, the cutoff map and curves, each with its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

# Okabe & Ito's colours, which colour-blind readers tell apart; line styles differ as well.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "--"},
    {"color": "#D55E00", "linestyle": "-"},
)
MARKERS = "so"
SCALE_BAR_ANGSTROM = 50.0


@dataclass(frozen=True)
class Picture:
    """A map (N, N, N) to show as its central slice, and what it is."""

    title: str
    volume: NDArray[np.float32]


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
    _draw_slices(upper, pictures, cutoff_angstrom, voxel_size)
    with_errors = any(method.angular_errors for method in methods)
    panels = lower.subplots(1, 2 if with_errors else 1, squeeze=False)[0]
    _draw_fsc(panels[0], methods, voxel_size, fsc_title)
    if with_errors:
        _draw_errors(panels[1], methods)
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, dpi=130, format="png")
    temporary.replace(path)


def central_slice(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plane y = 0 of a map, z upwards when drawn with the origin below: (z, x)."""
    return volume[:, volume.shape[1] // 2, :]


def _draw_slices(
    row: SubFigure,
    pictures: Sequence[Picture],
    cutoff_angstrom: NDArray[np.float32],
    voxel_size: float,
) -> None:
    axes = row.subplots(1, len(pictures) + 1)
    half_width = pictures[0].volume.shape[0] * voxel_size / 2
    extent = (-half_width, half_width, -half_width, half_width)
    truth = central_slice(pictures[0].volume)
    limits = {"vmin": -0.15 * np.percentile(truth, 99.8), "vmax": np.percentile(truth, 99.8)}
    for axis, picture in zip(axes, pictures, strict=False):
        plane = central_slice(picture.volume)
        axis.imshow(plane, cmap="gray", origin="lower", extent=extent, **limits)
        axis.set_title(picture.title, fontsize=10)
    _draw_scale_bar(axes[0], half_width)

    plane = np.ma.masked_equal(central_slice(cutoff_angstrom), 0.0)
    # Reversed, so that fine detail is bright.
    image = axes[-1].imshow(plane, cmap="cividis_r", origin="lower", extent=extent)
    axes[-1].set_title("local low-pass cutoff", fontsize=10)
    row.colorbar(image, ax=axes[-1], shrink=0.85, label="Å")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def _draw_scale_bar(axis: Axes, half_width: float) -> None:
    left, height = -0.9 * half_width, -0.88 * half_width
    axis.plot([left, left + SCALE_BAR_ANGSTROM], [height, height], color="white", linewidth=3)
    axis.text(
        left + SCALE_BAR_ANGSTROM / 2,
        height + 0.04 * half_width,
        f"{SCALE_BAR_ANGSTROM:.0f} Å",
        color="white",
        ha="center",
        va="bottom",
        fontsize=9,
    )


def _draw_fsc(axis: Axes, methods: Sequence[Method], voxel_size: float, title: str) -> None:
    box = 2 * (len(methods[0].fsc_to_truth) - 1)
    frequency = np.arange(box // 2 + 1) / (box * voxel_size)
    for method, style in zip(methods, STYLES, strict=False):
        axis.plot(frequency, method.fsc_to_truth, label=method.name, **style)
    axis.axhline(0.5, color="0.6", linewidth=0.8)
    axis.text(frequency[-1], 0.5, "0.5", color="0.4", ha="right", va="bottom", fontsize=8)
    ticks = np.array([40.0, 20.0, 15.0, 12.0, 10.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    ticks = ticks[ticks >= 2 * voxel_size]
    axis.set_xticks(1 / ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xlim(0, frequency[-1])
    axis.set_ylim(-0.05, 1.02)
    axis.set_xlabel("resolution (Å)")
    axis.set_ylabel("Fourier shell correlation")
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.25)
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
