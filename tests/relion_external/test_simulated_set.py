from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from plugin_core.simulation.poses import angular_distance
from relion_external.simulated_set import (
    ANGLES,
    ORIGINS,
    SimulatedSet,
    SimulationOptions,
    load_demo_protein,
    write_simulated_set,
)

OPTIONS = SimulationOptions(particles=30, box=32, voxel_size=6.0, signal_to_noise=0.05)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSet:
    return write_simulated_set(tmp_path_factory.mktemp("set"), OPTIONS)


def test_the_protein_is_centred_and_its_slab_lies_within() -> None:
    protein, slab = load_demo_protein()
    bounds = protein.coordinates.min(axis=0), protein.coordinates.max(axis=0)
    np.testing.assert_allclose(bounds[0] + bounds[1], 0.0, atol=0.2)
    assert np.linalg.norm(slab.axis) == pytest.approx(1.0, abs=1e-5)
    height = (protein.coordinates - slab.centre) @ slab.axis
    in_membrane = np.mean(np.abs(height) < slab.thickness / 2)
    assert 0.15 < in_membrane < 0.5


def test_both_tables_name_the_same_particles(written: SimulatedSet) -> None:
    start, truth = (starfile.read(p) for p in (written.particles, written.true_particles))
    same = [c for c in truth["particles"] if c not in ANGLES + ORIGINS]
    assert start["particles"][same].equals(truth["particles"][same])
    assert start["optics"].equals(truth["optics"])
    assert sorted(truth["particles"]["rlnRandomSubset"].value_counts()) == [15, 15]


def test_start_poses_are_off_by_what_was_asked(written: SimulatedSet) -> None:
    start, truth = (
        starfile.read(p)["particles"] for p in (written.particles, written.true_particles)
    )
    np.testing.assert_allclose(angular_distance(start[ANGLES], truth[ANGLES]), 6.0, atol=1e-4)
    moved = (start[ORIGINS] - truth[ORIGINS]).to_numpy()
    assert np.sqrt((moved**2).mean()) == pytest.approx(OPTIONS.origin_error, rel=0.3)


def test_images_hold_signal_and_noise_as_asked(written: SimulatedSet) -> None:
    with mrcfile.open(written.images) as mrc:
        assert mrc.is_image_stack()
        assert mrc.voxel_size.x == OPTIONS.voxel_size
        assert mrc.data.shape == (30, 32, 32)
        assert np.var(mrc.data, axis=(1, 2)).mean() == pytest.approx(1.05, abs=0.03)


def test_reference_is_the_truth_up_to_the_low_pass(written: SimulatedSet) -> None:
    truth, reference = (
        np.fft.rfftn(mrcfile.read(p)) for p in (written.true_map, written.reference)
    )
    shell = np.arange(17)  # box 192 Å, so 30 Å is shell 6.4 with an edge of 2 shells
    gain = np.abs(reference[0, 0] / truth[0, 0])
    np.testing.assert_allclose(gain[shell <= 5], 1.0, atol=1e-3)
    np.testing.assert_allclose(gain[(shell >= 8) & (shell < 16)], 0.0, atol=1e-3)


def test_the_same_seed_writes_the_same_images(written: SimulatedSet, tmp_path: Path) -> None:
    again = write_simulated_set(tmp_path / "again", OPTIONS)
    other = write_simulated_set(tmp_path / "other", replace(OPTIONS, seed=2))
    assert again.images.read_bytes()[1024:] == written.images.read_bytes()[1024:]
    assert other.images.read_bytes()[1024:] != written.images.read_bytes()[1024:]


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_simulated_set(tmp_path, replace(OPTIONS, particles=3), lambda *c: seen.append(c))
    assert seen == [(1, 3), (2, 3), (3, 3)]
