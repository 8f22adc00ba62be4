from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plugin_core.simulation.belt import Slab
from plugin_core.simulation.molecule import Molecule
from plugin_core.simulation.random_pair import PairRanges, random_pair

pytest.importorskip("gemmi")

RANGES = PairRanges(voxel_size=(2.5, 2.5), max_box=64)
SLAB = Slab(np.array([0.0, 0.0, 1.0], np.float32), np.zeros(3, np.float32), 30.0)


@pytest.fixture
def molecule() -> Molecule:
    """A rod of carbons along z, in three chains."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (1500, 3)) * (15, 15, 35)
    residues = np.arange(1500) // 8
    return Molecule(
        points[np.argsort(points[:, 2])],
        np.full(1500, 6),
        np.full(1500, 30.0),
        np.ones(1500),
        residues,
        residues // 63,
    )


def draw(molecule: Molecule, seed: int, ranges: PairRanges = RANGES, slab: Slab | None = None):
    return random_pair(molecule, slab, ranges, np.random.default_rng(seed))


def test_a_seed_gives_one_pair(molecule) -> None:
    (first, _, record), (again, _, same), (other, _, _) = (draw(molecule, s) for s in (1, 1, 2))
    assert record == same
    for name in ("truth", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(first.half_maps, again.half_maps)
    assert not np.array_equal(first.half_maps[0], other.half_maps[0])


def test_all_that_is_drawn_lies_in_its_range_and_can_be_written_down(molecule) -> None:
    everything = replace(RANGES, partial=1.0, floppy=1.0, spots=3)
    for seed in range(3):
        pair, voxel_size, record = draw(molecule, seed, everything, SLAB)
        assert json.loads(json.dumps(record))["box"] == len(pair.truth)
        measurement = record["measurement"]
        assert voxel_size == 2.5
        assert 2.2 * voxel_size <= measurement["resolution_angstrom"] <= 15
        assert measurement["finest_angstrom"] >= 5
        assert 20 <= measurement["b_factor"] <= 1500
        assert np.abs(record["off_centre"]).max() <= 4
        assert 8 <= min(record["belt"]["counts"]) <= max(record["belt"]["counts"]) <= 80
        assert {"blur", "partial", "floppy"} <= set(record["disorder"])
        for volume in (*pair.half_maps, pair.truth, pair.mask):
            assert volume.shape == (len(pair.truth),) * 3
            assert volume.dtype == np.float32
            assert np.isfinite(volume).all()


def test_the_molecule_is_inside_the_box(molecule) -> None:
    for seed in range(4):
        pair, _, _ = draw(molecule, seed)
        faces = [pair.mask[0], pair.mask[-1], pair.mask[:, 0], pair.mask[:, :, -1]]
        assert max(face.max() for face in faces) == 0


def test_a_small_molecule_gets_the_smallest_box(molecule) -> None:
    small = replace(molecule, coordinates=0.5 * molecule.coordinates)
    assert len(draw(small, 0)[0].truth) == 64


def test_a_molecule_too_large_for_the_box_is_refused(molecule) -> None:
    large = replace(molecule, coordinates=3 * molecule.coordinates)
    with pytest.raises(ValueError, match=r"a particle of 2\d\d Å needs a box of 1\d\d voxels"):
        draw(large, 0)
