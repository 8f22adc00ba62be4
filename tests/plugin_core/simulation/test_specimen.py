from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.projection import Atoms
from plugin_core.simulation.specimen import HingedDomain, Specimen, join


def atoms(*points: tuple[float, float, float]) -> Atoms:
    ones = np.ones(len(points), dtype=np.float32)
    return Atoms(np.array(points, dtype=np.float32), ones, 20 * ones)


HINGE = np.array([0.0, 0.0, 10.0])
DOMAIN = HingedDomain(atoms((0, 0, 30), (15, 0, 20)), HINGE, swing_sd=8.0)


def test_a_domain_swings_as_one_body_about_its_hinge() -> None:
    rest = DOMAIN.atoms.coordinates
    for seed in range(5):
        moved = DOMAIN.draw(np.random.default_rng(seed)).coordinates
        for one in (rest, moved):
            assert np.linalg.norm(one[0] - HINGE) == pytest.approx(20.0, abs=1e-4)
            assert np.linalg.norm(one[1] - one[0]) == pytest.approx(np.sqrt(325.0), abs=1e-4)
        assert not np.allclose(moved, rest, atol=0.1)


def test_swings_have_the_standard_deviation_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    ends = np.array([DOMAIN.draw(rng).coordinates[0] - HINGE for _ in range(2000)])
    tilts = np.degrees(np.arctan2(ends[:, :2], ends[:, 2:]))
    np.testing.assert_allclose(tilts.std(axis=0), 8.0, rtol=0.05)
    np.testing.assert_allclose(tilts.mean(axis=0), 0.0, atol=0.6)


def test_at_rest_is_all_that_is_not_belt() -> None:
    specimen = Specimen(atoms((1, 2, 3)), DOMAIN)
    assert len(specimen.at_rest) == 3
    assert specimen.varies
    assert len(specimen.draw(np.random.default_rng(0))) == 2
    rigid = Specimen(atoms((1, 2, 3)))
    assert len(rigid.at_rest) == 1
    assert not rigid.varies


def test_joined_atoms_keep_their_order() -> None:
    both = join(atoms((1, 2, 3)), atoms((4, 5, 6), (7, 8, 9)))
    np.testing.assert_array_equal(both.coordinates[:, 0], [1, 4, 7])
    assert len(both) == 3
