from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.disorder import (
    BlurField,
    blurred,
    floppy,
    sphere_domain,
    with_occupancy,
)
from plugin_core.simulation.molecule import Molecule


@pytest.fixture
def rod() -> Molecule:
    """Twenty residues of three atoms along x, 4 Å apart, B factor 10 Å²."""
    residues = np.repeat(np.arange(20), 3)
    coordinates = np.zeros((60, 3))
    coordinates[:, 0] = 4.0 * residues + np.tile([-1.0, 0.0, 1.0], 20)
    return Molecule(
        coordinates, np.full(60, 6), np.full(60, 10.0), np.ones(60), residues, residues // 10
    )


def test_blur_rises_from_the_core_to_the_farthest_residue(rod):
    field = BlurField((0.0, 0.0, 0.0), 100.0, 2.0, (), (), 10.0)
    added = blurred(rod, field).b_factors - 10.0
    np.testing.assert_allclose(added, 100.0 * (rod.residues / 19) ** 2)


def test_a_floppy_spot_is_a_gaussian_about_a_residue(rod):
    field = BlurField((0.0, 0.0, 0.0), 0.0, 1.0, ((40.0, 0.0, 0.0),), (200.0,), 8.0)
    added = blurred(rod, field).b_factors - 10.0
    np.testing.assert_allclose(added, 200.0 * np.exp(-((4.0 * rod.residues - 40) ** 2) / 128))


def test_a_sphere_takes_the_nearest_residues_whole(rod):
    domain = sphere_domain(rod, np.array([76.0, 0.0, 0.0]), 0.2)
    assert set(rod.residues[domain]) == {16, 17, 18, 19}
    assert domain.sum() == 12


def test_only_the_domain_is_partly_occupied(rod):
    domain = rod.chains == 1
    occupancies = with_occupancy(rod, domain, 0.4).occupancies
    np.testing.assert_array_equal(occupancies, np.where(domain, 0.4, 1.0))


def test_a_floppy_domain_keeps_its_matter_and_leaves_the_rest_alone(rod):
    domain = rod.chains == 1
    moving = floppy(rod, domain, 5.0, 1.0, 8, np.random.default_rng(0))
    assert moving.occupancies.sum() == pytest.approx(60.0)
    assert (moving.chains == 1).sum() == 8 * 30
    rest = moving.chains == 0
    np.testing.assert_array_equal(moving.coordinates[rest], rod.coordinates[~domain])
    np.testing.assert_array_equal(moving.b_factors[rest], 10.0)


def test_the_copies_of_a_floppy_domain_are_rigid_and_swing_about_the_hinge(rod):
    domain = rod.chains == 1
    moving = floppy(rod, domain, 5.0, 0.0, 200, np.random.default_rng(0))
    copies = moving.coordinates[moving.chains == 1].reshape(200, 30, 3)
    hinge = rod.coordinates[domain][0]
    np.testing.assert_allclose(copies[:, 0], np.tile(hinge, (200, 1)), atol=1e-9)
    arm = rod.coordinates[domain][-1] - hinge
    lengths = np.linalg.norm(copies[:, -1] - hinge, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(arm), rtol=1e-9)
    # Small turns: each axis across the arm moves its end by angle times length.
    spread = copies[:, -1, 1:].std()
    assert spread == pytest.approx(np.radians(5.0) * np.linalg.norm(arm), rel=0.1)
