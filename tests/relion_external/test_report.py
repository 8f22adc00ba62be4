"""What the report of a pair of half-maps shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from plugin_core.masks import soft_sphere
from relion_external import report
from relion_external.half_map_figures import half_map_figures
from relion_external.panels import Picture
from relion_external.report import ReportContent, write_report

BOX, VOXEL_SIZE = 33, 2.0
Draw = Callable[[ReportContent], Figure]


@pytest.fixture(scope="module")
def content() -> ReportContent:
    """A ball in noise, in an odd box."""
    rng = np.random.default_rng(0)
    halves = [
        soft_sphere(BOX, 6, 2) + np.float32(0.1) * rng.standard_normal((BOX,) * 3, np.float32)
        for _ in range(2)
    ]
    mask = soft_sphere(BOX, 10, 3)
    figures = half_map_figures(*halves, mask, VOXEL_SIZE)
    picture = Picture("raw average", halves[0])
    return ReportContent(
        "title", [picture] * 3, np.float32(9) * (mask > 0), figures, 8.0, VOXEL_SIZE
    )


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Return the figure that would be written."""

    def draw(content: ReportContent) -> Figure:
        drawn: list[Figure] = []
        monkeypatch.setattr(report, "save", lambda figure, path, kind: drawn.append(figure))
        write_report(content, Path("report.pdf"), Path("report.png"))
        return drawn[0]

    return draw


def test_curves_of_an_odd_box_lie_at_the_frequencies_of_its_shells(
    draw: Draw, content: ReportContent
) -> None:
    axes = [axis for axis in draw(content).axes if axis.get_ylabel().startswith("Fourier")]
    assert len(axes) == 2
    expected = np.arange(BOX // 2 + 1) / (BOX * VOXEL_SIZE)
    for axis in axes:
        curves = [line for line in axis.lines if len(line.get_xdata()) == len(expected)]
        assert curves
        for curve in curves:
            np.testing.assert_allclose(curve.get_xdata(), expected)


def test_the_title_tells_the_mask_and_both_resolutions(draw: Draw, content: ReportContent) -> None:
    fsc = content.figures.fsc
    corrected, unmasked = map(fsc.resolution_angstrom, ("corrected", "unmasked"))
    filled = 100 * content.figures.mask.mean()
    assert (
        f"0.143 at {corrected:.1f} Å, corrected\n(in a mask of {filled:.1f} % of the box; "
        f"without mask at {unmasked:.1f} Å)"
    ) in [axis.get_title() for axis in draw(content).axes][-3]


def test_cutoffs_are_shown_where_there_are_any(draw: Draw, content: ReportContent) -> None:
    def said(content: ReportContent) -> list[str]:
        return [axis.get_title() for axis in draw(content).axes]

    assert "local low-pass cutoff" in said(content)
    assert "local cutoffs: median 9.0 Å" in said(content)
    content = replace(content, cutoff_angstrom=None)
    assert not [title for title in said(content) if "cutoff" in title]


def test_the_scale_bar_lies_on_a_dark_box(draw: Draw, content: ReportContent) -> None:
    first = draw(content).axes[0]
    (bar,) = (artist for artist in first.artists if isinstance(artist, AnchoredSizeBar))
    assert bar.size_bar.get_children()[0].get_width() == 50
    assert bar.patch.get_facecolor()[:3] == (0, 0, 0)
    assert bar.patch.get_visible()
