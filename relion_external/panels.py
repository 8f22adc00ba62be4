"""Panels that the project's figures share: slices of maps, local cutoffs, resolution axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe & Ito's colours, which colour-blind readers tell apart.
BLUE, VERMILION, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"

_SCALE_BAR_ANGSTROM = 50.0
_TICKS_ANGSTROM = np.array([40, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2, 1.7, 1.5, 1.2, 1])


@dataclass(frozen=True)
class Picture:
    """A map (N, N, N) to show as its central slice, and what it is."""

    title: str
    volume: NDArray[np.float32]


def central_slice(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plane y = 0 of a map, z upwards when drawn with the origin below: (z, x)."""
    return volume[:, volume.shape[1] // 2, :]


def draw_slices(
    row: SubFigure,
    pictures: Sequence[Picture],
    grey_of: NDArray[np.float32],
    cutoff_angstrom: NDArray[np.float32] | None,
    voxel_size: float,
) -> None:
    """Draw maps in the grey scale of `grey_of`, then the local cutoffs with their colour bar."""
    panels = len(pictures) + (cutoff_angstrom is not None)
    axes = row.subplots(1, panels, squeeze=False)[0]
    half_width = pictures[0].volume.shape[0] * voxel_size / 2
    extent = (-half_width, half_width, -half_width, half_width)
    brightest = np.percentile(central_slice(grey_of), 99.8)
    limits = {"vmin": -0.15 * brightest, "vmax": brightest}
    for axis, picture in zip(axes, pictures, strict=False):
        plane = central_slice(picture.volume)
        axis.imshow(plane, cmap="gray", origin="lower", extent=extent, **limits)
        axis.set_title(picture.title, fontsize=10)
    _draw_scale_bar(axes[0], half_width)

    if cutoff_angstrom is not None:
        plane = np.ma.masked_equal(central_slice(cutoff_angstrom), 0.0)
        # Reversed, so that fine detail is bright.
        image = axes[-1].imshow(plane, cmap="cividis_r", origin="lower", extent=extent)
        axes[-1].set_title("local low-pass cutoff", fontsize=10)
        row.colorbar(image, ax=axes[-1], shrink=0.85, label="Å")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def resolution_axis(axis: Axes, voxel_size: float) -> None:
    """Label the x axis, which is 1/Å up to Nyquist, with resolutions in Å."""
    nyquist = 1 / (2 * voxel_size)
    ticks: list[float] = []
    for tick in _TICKS_ANGSTROM[1 / nyquist <= _TICKS_ANGSTROM]:
        if not ticks or 1 / tick - 1 / ticks[-1] > 0.06 * nyquist:  # or the labels would overlap
            ticks.append(float(tick))
    axis.set_xticks([1 / tick for tick in ticks], [f"{tick:g}" for tick in ticks])
    axis.set_xlim(0, nyquist)
    axis.set_xlabel("resolution (Å)")


def fsc_axis(axis: Axes, voxel_size: float, threshold: float) -> None:
    """Prepare an axis for FSC curves against 1/Å, with a threshold marked."""
    resolution_axis(axis, voxel_size)
    axis.axhline(threshold, color="0.6", linewidth=0.8)
    axis.text(
        axis.get_xlim()[1], threshold, f"{threshold:g}", color="0.4", ha="right", va="bottom",
        fontsize=8,
    )  # fmt: skip
    axis.set_ylim(-0.05, 1.02)
    axis.set_ylabel("Fourier shell correlation")
    axis.grid(alpha=0.25)


def frequencies(shells: int, box: int, voxel_size: float) -> NDArray[np.float64]:
    """Spatial frequency in 1/Å of the shells 0 to `shells` - 1 of a box."""
    return np.arange(shells) / (box * voxel_size)


def save(figure: Figure, path: Path, kind: str) -> None:
    """Write a figure as PNG or PDF under a temporary name, then rename it."""
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, dpi=130, format=kind)
    temporary.replace(path)


def _draw_scale_bar(axis: Axes, half_width: float) -> None:
    """A white bar with its length, on a dark box: it has to be read on noise as well."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    length = _SCALE_BAR_ANGSTROM
    bar = AnchoredSizeBar(
        axis.transData,
        length,
        f"{length:.0f} Å",
        "lower left",
        color="white",
        label_top=True,
        size_vertical=0.025 * half_width,
        fill_bar=True,
        pad=0.5,
        borderpad=0.6,
        sep=4,
    )
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.7)
    axis.add_artist(bar)
