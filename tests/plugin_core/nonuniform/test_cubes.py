"""Which part of the box each level is searched on."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.nonuniform.cubes import cubes

BOX = 200
CUTOFFS = np.linspace(5, 100, 40)


def occupied(*bounds: tuple[int, int], box: int = BOX) -> np.ndarray:
    """A map that is zero but in a block."""
    volume = np.zeros((box,) * 3, np.float32)
    volume[tuple(slice(*axis) for axis in bounds)] = 1
    return volume


PARTICLE = ((70, 130), (60, 120), (80, 120))


def test_every_level_once_and_in_order():
    found = list(cubes([occupied(*PARTICLE)], CUTOFFS))
    assert [level for cube in found for level in cube.levels] == list(range(len(CUTOFFS)))
    assert len(found) > 3


def test_each_cube_holds_the_support_and_a_margin():
    for cube in cubes([occupied(*PARTICLE)], CUTOFFS):
        assert cube.size >= min(60 + 4 * BOX / CUTOFFS[cube.levels[0]], BOX)
        for axis, (start, stop) in zip(cube.region, PARTICLE, strict=True):
            assert axis.stop - axis.start == cube.size
            assert axis.start <= start
            assert axis.stop >= stop
            if cube.size < BOX:
                assert abs((axis.start + axis.stop) - (start + stop)) <= 1


def test_cubes_shrink_up_to_the_levels_that_reach_the_nyquist_frequency():
    sizes = [cube.size for cube in cubes([occupied(*PARTICLE)], CUTOFFS) for _ in cube.levels]
    near_nyquist = np.array(sizes)[CUTOFFS > 0.34 * BOX]
    others = np.array(sizes)[CUTOFFS <= 0.34 * BOX]
    assert others[0] == BOX
    assert others[-1] <= 90
    assert ((others[1:] == others[:-1]) | (others[1:] ** 3 <= 0.7 * others[:-1] ** 3)).all()
    assert (near_nyquist >= 60 + 64).all()


def test_cubes_stay_within_the_box():
    for cube in cubes([occupied((0, 50), (150, 200), (70, 130))], CUTOFFS):
        for axis in cube.region:
            assert 0 <= axis.start < axis.stop <= BOX


def test_sizes_are_even_and_have_small_factors():
    for extent in range(20, 180, 7):
        for cube in cubes([occupied((0, extent), (0, extent), (0, extent))], CUTOFFS):
            size = cube.size
            assert size % 2 == 0
            for factor in (2, 3, 5, 7, 11):
                while size % factor == 0:
                    size //= factor
            assert size == 1


def test_all_maps_count():
    apart = [occupied((90, 100), (90, 100), (90, 100)), occupied((40, 50), (90, 100), (90, 100))]
    (*_, finest) = cubes(apart, CUTOFFS)
    assert finest.region[0].start <= 40
    assert finest.region[0].stop >= 100


@pytest.mark.parametrize("volume", [np.ones((37,) * 3), np.zeros((37,) * 3)], ids=["full", "empty"])
def test_a_map_without_a_border_is_searched_whole(volume):
    (cube,) = cubes([volume], np.array([3.0, 10.0, 18.0]))
    assert (cube.region, cube.size, cube.levels) == ((slice(0, 37),) * 3, 37, range(3))
