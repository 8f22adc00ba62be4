from __future__ import annotations

import numpy as np
import pytest

from plugin_core.simulation.belt import BeltMaker, BeltShape, Slab
from plugin_core.simulation.projection import Atoms

AXIS = np.array([0.0, 0.6, 0.8])
CENTRE = np.array([5.0, -3.0, 10.0])


@pytest.fixture
def protein() -> Atoms:
    """A rod of 20 Å radius along the membrane normal, through the slab's centre."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (40000, 3)) * (20.0, 20.0, 60.0)
    points = points[np.hypot(points[:, 0], points[:, 1]) < 20.0]
    frame = np.stack([[1.0, 0.0, 0.0], np.cross(AXIS, [1.0, 0.0, 0.0]), AXIS])
    count = len(points)
    return Atoms(
        (points @ frame + CENTRE).astype(np.float32),
        np.ones(count, np.float32),
        np.ones(count, np.float32),
    )


def make(protein: Atoms, shape: BeltShape) -> BeltMaker:
    return BeltMaker(protein, Slab(AXIS, CENTRE, 30.0), shape)


def height_and_radius(belt: Atoms) -> tuple[np.ndarray, np.ndarray]:
    offset = belt.coordinates - CENTRE
    height = offset @ AXIS
    return height, np.linalg.norm(offset - height[:, None] * AXIS, axis=1)


def test_a_belt_without_variation_is_the_ring_that_was_asked_for(protein: Atoms) -> None:
    shape = BeltShape(width_sd=0, half_thickness_sd=0, ellipticity_sd=0, offset_sd=0)
    maker = make(protein, shape)
    height, radius = height_and_radius(maker.draw(np.random.default_rng(2)))
    assert np.abs(height).max() == pytest.approx(shape.half_thickness, abs=1.0)
    # 90 % of a disc's points lie within sqrt(0.9) of its radius.
    assert maker.typical_radius == pytest.approx(np.sqrt(0.9) * 20.0 + shape.width, abs=0.5)
    assert radius.max() == pytest.approx(maker.typical_radius, abs=1.5)
    assert radius.min() > 18.0


def test_a_belt_keeps_clear_of_the_protein(protein: Atoms) -> None:
    belt = make(protein, BeltShape()).draw(np.random.default_rng(2))
    distance = min(np.linalg.norm(protein.coordinates - p, axis=1).min() for p in belt.coordinates)
    # Clearance is tabulated on a grid of 1 Å: a point is within sqrt(3) / 2 Å of its cell's centre.
    assert BeltShape().clearance - 0.87 <= distance < BeltShape().clearance + 0.87


def test_the_rim_is_brighter_and_no_brighter_than_asked(protein: Atoms) -> None:
    shape = BeltShape(rim_contrast=0.4, core_contrast=0.1)
    belt = make(protein, shape).draw(np.random.default_rng(2))
    dim, bright = np.unique(belt.weights)
    assert bright / dim == pytest.approx(4.0, rel=1e-5)
    _, radius = height_and_radius(belt)
    assert radius[belt.weights == bright].mean() > radius[belt.weights == dim].mean()


def test_belts_differ_from_particle_to_particle(protein: Atoms) -> None:
    maker, rng = make(protein, BeltShape()), np.random.default_rng(2)
    belts = [maker.draw(rng) for _ in range(40)]
    extents = [height_and_radius(belt)[1].max() for belt in belts]
    assert np.std(extents) > 1.0
    first, second = ({tuple(point) for point in belt.coordinates} for belt in belts[:2])
    assert not first & second


def test_the_same_seeds_draw_the_same_belt(protein: Atoms) -> None:
    one, two = (make(protein, BeltShape()).draw(np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.coordinates, two.coordinates)


def test_a_slab_beside_the_protein_is_refused(protein: Atoms) -> None:
    far = Slab(AXIS, CENTRE + 500.0, 30.0)
    with pytest.raises(ValueError, match="slab holds no atoms"):
        BeltMaker(protein, far, BeltShape())


def test_a_belt_of_mean_size_lies_within_its_reach(protein: Atoms) -> None:
    shape = BeltShape(width_sd=0, half_thickness_sd=0, ellipticity_sd=0, offset_sd=0)
    maker = make(protein, shape)
    belt = maker.draw(np.random.default_rng(2))
    farthest = np.linalg.norm(belt.coordinates, axis=1).max()
    assert farthest <= maker.reach_from_origin < 1.4 * farthest
