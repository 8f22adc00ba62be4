from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from plugin_core.fsc import fourier_shell_correlation
from plugin_core.simulation.belt import BeltMaker, BeltShape, Slab
from plugin_core.simulation.half_maps import (
    BeltDisorder,
    Measurement,
    SimulatedPair,
    noise_level,
    simulate_pair,
    solvent_subtracted,
    up_to_shell,
)
from plugin_core.simulation.map_noise import NoiseSpectrum, Views
from plugin_core.simulation.molecule import Molecule
from plugin_core.simulation.projection import Atoms

pytest.importorskip("gemmi")

BOX, VOXEL = 64, 2.0
MEASUREMENT = Measurement(
    b_factor=150.0,
    solvent_contrast=0.4,
    resolution_angstrom=8.0,
    shells_beyond=6,
    finest_angstrom=4.0,
    mask_margin=4.0,
    spectrum=NoiseSpectrum(),
    views=Views(),
)


@pytest.fixture(scope="module")
def molecule() -> Molecule:
    """Carbons at the density of protein in balls of different size that overlap.

    One ball alone would have zeros in its spectrum.
    """
    rng = np.random.default_rng(0)
    points = rng.uniform(-26, 26, (6200, 3))
    centres, radii = rng.uniform(-14, 14, (9, 3)), rng.uniform(5, 12, 9)
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    points = points[(distance < radii).any(axis=1)]
    count = len(points)
    residues = np.arange(count) // 8
    return Molecule(
        points, np.full(count, 6), np.full(count, 30.0), np.ones(count), residues, residues // 50
    )


def simulate(molecule: Molecule, seed: int = 0, **changes: object) -> SimulatedPair:
    measurement = replace(MEASUREMENT, **changes)
    return simulate_pair(molecule, None, measurement, BOX, VOXEL, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def pair(molecule) -> SimulatedPair:
    return simulate(molecule)


def full_transform(volume: np.ndarray) -> np.ndarray:
    return np.fft.fftn(volume.astype(np.float64))


@pytest.mark.parametrize("resolution", [5.0, 8.0, 12.0])
def test_the_half_maps_agree_as_far_as_asked(molecule, resolution) -> None:
    shells = [
        BOX * VOXEL / simulate(molecule, seed, resolution_angstrom=resolution).resolution_angstrom
        for seed in range(5)
    ]
    # A noisy curve may cross the threshold a shell or two early.
    assert np.mean(shells) == pytest.approx(BOX * VOXEL / resolution, abs=1.5)


def test_a_half_map_is_truth_and_noise_up_to_the_last_shell(pair, full_radius) -> None:
    assert pair.max_shell == 16 + 6
    inside = full_radius(BOX) <= pair.max_shell
    noise = []
    for half in pair.half_maps:
        transform = full_transform(half)
        assert np.abs(transform[~inside]).max() < 1e-5 * np.abs(transform).max()
        noise.append(transform - full_transform(pair.truth) * inside)
    scatter = 5 / np.sqrt(inside.sum() / 2)

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        norm = np.sqrt((abs(a[inside]) ** 2).sum() * (abs(b[inside]) ** 2).sum())
        return float((a[inside] * b[inside].conj()).real.sum() / norm)

    assert abs(correlation(noise[0], noise[1])) < scatter
    for field in noise:
        # Both fall off, so few voxels carry the product; each counts as many.
        assert abs(correlation(field, full_transform(pair.truth))) < 5 * scatter


def test_the_noise_has_the_spectrum_of_the_measurement(molecule, full_radius) -> None:
    measured = np.zeros(BOX // 2 + 1)
    shell = np.floor(full_radius(BOX) + 0.5).astype(int).ravel()
    counts = np.bincount(shell)[: BOX // 2 + 1]
    for seed in range(4):
        pair = simulate(molecule, seed, shells_beyond=None)
        for half in pair.half_maps:
            power = np.abs(full_transform(half - pair.truth)) ** 2
            power = np.bincount(shell, power.ravel())[: BOX // 2 + 1] / counts
            measured += power / power[5:30].sum()
    expected = MEASUREMENT.spectrum.map_power(BOX, VOXEL)
    expected *= measured[5:30].sum() / expected[5:30].sum()
    np.testing.assert_allclose(measured[5:30], expected[5:30], rtol=0.12)


def test_preferred_views_raise_the_noise_and_spare_the_signal(molecule, full_radius) -> None:
    views = Views((0.0, 0.0, 1.0), kappa=6.0, preferred=0.9)
    even, uneven = (simulate(molecule, shells_beyond=None, views=v) for v in (Views(), views))
    np.testing.assert_array_equal(even.truth, uneven.truth)
    noise = np.abs(full_transform(uneven.half_maps[0] - uneven.truth)) ** 2
    radius = full_radius(BOX)
    cosine = np.abs(np.fft.fftfreq(BOX, 1 / BOX))[:, None, None] / np.maximum(radius, 1)
    shell = (radius > 8) & (radius < 30)
    ratio = noise[shell & (cosine > 0.95)].mean() / noise[shell & (cosine < 0.1)].mean()
    expected = views.crossing(np.array(0.05)) / views.crossing(np.array(0.97))
    assert ratio == pytest.approx(expected, rel=0.25)
    assert expected > 5


def test_the_b_factor_is_that_of_the_truth(molecule, full_radius) -> None:
    sharp, blunt = (simulate(molecule, b_factor=b).truth for b in (100.0, 400.0))
    ratio = np.abs(full_transform(blunt)) / np.abs(full_transform(sharp))
    s2 = (full_radius(BOX) / (BOX * VOXEL)) ** 2
    near = full_radius(BOX) < 12
    relative = ratio[near] / ratio[0, 0, 0] / np.exp(-300 * s2[near] / 4)
    np.testing.assert_allclose(np.median(relative), 1.0, rtol=1e-3)
    assert np.percentile(np.abs(relative - 1), 99) < 0.02


def test_the_mask_holds_the_molecule_and_little_else(molecule, pair) -> None:
    assert pair.mask.min() == 0
    assert pair.mask.max() == 1
    voxels = np.rint(molecule.coordinates[:, ::-1] / VOXEL).astype(int) + BOX // 2
    at_atoms = pair.mask[tuple(voxels.T)]
    assert (at_atoms > 0.99).mean() > 0.99
    outside = np.ones((BOX,) * 3, bool)
    outside[tuple(voxels.T)] = False
    # The map seen at 15 Å reaches half as far; then come the margin, the edge, and a voxel.
    far = VOXEL * distance_transform_edt(outside) > 15 / 2 + 4 + 8 + VOXEL
    assert pair.mask[far].max() == 0


def test_solvent_takes_its_share_of_the_contrast_of_a_large_body() -> None:
    axis = np.arange(48) - 24
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    body = np.clip(13.5 - distance, 0, 1).astype(np.float32) * 2.0
    rest, inside = solvent_subtracted(body, 2.0, 0.4)
    assert inside == pytest.approx(1.2, rel=0.05)
    assert rest[distance < 10].mean() == pytest.approx(1.2, rel=0.05)
    assert abs(rest[distance > 20]).max() < 0.02


def test_the_last_shell_is_kept_and_the_next_is_cut(full_radius) -> None:
    noise = np.random.default_rng(0).standard_normal((16,) * 3).astype(np.float32)
    cut = np.abs(full_transform(up_to_shell(noise, 5)))
    radius = full_radius(16)
    kept = np.abs(full_transform(noise))[radius <= 5]
    np.testing.assert_allclose(cut[radius <= 5], kept, rtol=1e-4, atol=1e-4)
    assert cut[radius > 5].max() < 1e-4


def membrane_protein(molecule: Molecule, counts: tuple[int, int]) -> BeltDisorder:
    atoms = Atoms(
        molecule.coordinates.astype(np.float32),
        np.ones(len(molecule), np.float32),
        np.ones(len(molecule), np.float32),
    )
    shape = BeltShape(width=16.0, offset_sd=4.0)
    slab = Slab(np.array([0.0, 0.0, 1.0]), np.zeros(3), 30.0)
    return BeltDisorder(BeltMaker(atoms, slab, shape), counts)


def test_belts_are_common_at_low_resolution_and_differ_between_the_halves(molecule) -> None:
    rng = np.random.default_rng(0)
    belt = membrane_protein(molecule, (8, 8))
    with_belt = simulate_pair(molecule, belt, MEASUREMENT, BOX, VOXEL, rng)
    bare = simulate(molecule)
    axis = VOXEL * (np.arange(BOX) - BOX // 2)
    across = np.hypot(axis[:, None], axis)
    ring = np.broadcast_to((across > 28) & (across < 34), (BOX,) * 3).copy()
    ring[np.abs(axis) > 10] = False
    assert with_belt.truth[ring].mean() > 0.05 * with_belt.truth.max()
    assert abs(bare.truth[ring].mean()) < 0.01 * bare.truth.max()
    assert with_belt.mask[ring].min() > 0.5
    difference = [np.abs(full_transform(half - with_belt.truth)) for half in with_belt.half_maps]
    assert not np.allclose(*difference)


def test_more_belts_in_a_half_leave_fewer_differences(molecule) -> None:
    quiet = replace(MEASUREMENT, resolution_angstrom=4.2, shells_beyond=None)

    def excess(count: int) -> float:
        """Power of the halves' difference at 30 to 60 Å, where the noise is weak."""
        belt = membrane_protein(molecule, (count, count))
        pair = simulate_pair(molecule, belt, quiet, BOX, VOXEL, np.random.default_rng(0))
        half1, half2 = (np.abs(full_transform(half - pair.truth)) ** 2 for half in pair.half_maps)
        return float((half1 + half2)[1:4, 1:4, 1:4].sum())

    assert excess(8) > 3 * excess(80)


def test_the_same_seed_gives_the_same_pair_and_another_does_not(molecule, pair) -> None:
    again, other = simulate(molecule, 0), simulate(molecule, 1)
    for first, second in zip(pair.half_maps, again.half_maps, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(pair.half_maps[0], other.half_maps[0])
    assert not np.array_equal(*pair.half_maps)


def test_the_noise_level_puts_the_fsc_at_the_threshold() -> None:
    rng = np.random.default_rng(0)
    box, last = 48, 12
    radius = np.abs(np.fft.fftfreq(box, 1 / box))
    radius = np.sqrt(radius[:, None, None] ** 2 + radius[:, None] ** 2 + radius**2)
    white = rng.standard_normal((3, box, box, box))
    signal = np.fft.ifftn(np.fft.fftn(white[0]) * np.exp(-radius / 5)).real.astype(np.float32)
    noise = [field.astype(np.float32) for field in white[1:]]
    mask = np.ones((box,) * 3, np.float32)
    none = np.zeros_like(mask)
    level = noise_level(signal, [none, none], noise, mask, last)
    fsc = fourier_shell_correlation(signal + level * noise[0], signal + level * noise[1])
    assert fsc[last] == pytest.approx(0.143, abs=0.06)
    assert fsc[last - 4 : last - 1].min() > 0.143
    assert fsc[last + 3 : last + 6].max() < 0.143


def test_belts_that_drown_the_signal_are_refused() -> None:
    rng = np.random.default_rng(0)
    fields = [rng.standard_normal((16,) * 3).astype(np.float32) for _ in range(3)]
    mask = np.ones((16,) * 3, np.float32)
    with pytest.raises(ValueError, match="belts' differences"):
        noise_level(0.01 * fields[0], fields[1:], fields[1:], mask, 6)


def test_a_resolution_beyond_the_grid_is_refused(molecule) -> None:
    with pytest.raises(ValueError, match=r"a resolution of 3 Å is shell 43 .* from 3 to 31"):
        simulate(molecule, resolution_angstrom=3.0)
