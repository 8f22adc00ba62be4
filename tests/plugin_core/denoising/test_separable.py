from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.separable import along_axes, interpolation


def test_each_axis_gets_its_own_matrix():
    generator = torch.Generator().manual_seed(1)
    volume = torch.randn(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    z, y, x = (
        torch.randn(after, before, generator=generator, dtype=torch.float64)
        for after, before in ((7, 4), (8, 5), (9, 6))
    )
    expected = torch.einsum("zc,yb,xa,...cba->...zyx", z, y, x, volume)
    torch.testing.assert_close(along_axes(volume, z, y, x), expected)


@pytest.mark.parametrize(("before", "after"), [(64, 46), (64, 90), (65, 46), (40, 40)])
def test_interpolation_is_exact_for_a_straight_line_through_the_origin_voxel(before, after):
    line = torch.arange(before, dtype=torch.float64) - before // 2
    found = interpolation(before, after, line) @ line
    expected = (torch.arange(after, dtype=torch.float64) - after // 2) * before / after
    inside = (expected >= line[0]) & (expected <= line[-1])
    torch.testing.assert_close(found[inside], expected[inside])
    assert int(inside.sum()) >= after - 2
