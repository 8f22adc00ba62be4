from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_external.demo_figure import Method, draw
from relion_external.panels import Picture, central_slice

BOX = 16


def test_the_slice_is_the_plane_y_zero_with_z_along_its_rows() -> None:
    volume = np.zeros((BOX, BOX, BOX), np.float32)
    volume[3, BOX // 2, 5] = 1.0
    plane = central_slice(volume)
    assert plane[3, 5] == 1.0
    assert plane.sum() == 1.0


@pytest.mark.parametrize("errors", [(), (6.0, 9.0, 7.0)])
def test_the_picture_is_written_whole_with_and_without_a_refinement(
    tmp_path: Path, errors: tuple[float, ...]
) -> None:
    volume = np.random.default_rng(0).random((BOX, BOX, BOX), dtype=np.float32)
    methods = [Method(name, np.linspace(1.0, 0.0, BOX // 2 + 1), errors) for name in "ab"]
    path = tmp_path / "demo.png"
    draw(path, "title", [Picture("truth", volume)] * 3, volume, methods, 3.0, "curves")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert [p.name for p in tmp_path.iterdir()] == ["demo.png"]
