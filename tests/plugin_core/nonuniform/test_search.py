"""The search: against a float64 version, on maps whose right answer is known, symmetries."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.masks import soft_sphere
from plugin_core.nonuniform.cubes import cubes
from plugin_core.nonuniform.levels import cutoff_levels
from plugin_core.nonuniform.risks import CrossHalfRisk, QuarterRisk, SplitNoiseRisk
from plugin_core.nonuniform.search import search

BOX, ORDER, AWF = 48, 8, 3.0
CUTOFFS = np.linspace(2, 22, 20)
NOISE = 0.25  # standard deviation per voxel
SUPPORT = soft_sphere(BOX, 18, 5)
WHITE = np.full(BOX // 2 + 1, NOISE**2 * BOX**3)


def noise(seed: int) -> np.ndarray:
    return NOISE * np.random.default_rng(seed).standard_normal((BOX,) * 3, dtype=np.float32)


def scattered_blobs(rng, count: int, sigma: float, z_range: tuple[float, float]) -> np.ndarray:
    """Gaussians at random places of a slab of the sphere of 14 voxels radius."""
    axis = np.arange(BOX) - BOX // 2
    volume = np.zeros((BOX,) * 3)
    while count:
        centre = rng.uniform(-14, 14, 3)
        if centre @ centre < 14**2 and z_range[0] <= centre[0] <= z_range[1]:
            z, y, x = (np.exp(-((axis - c) ** 2) / (2 * sigma**2)) for c in centre)
            volume += z[:, None, None] * y[:, None] * x
            count -= 1
    return volume


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    """Fine detail in the upper half of a sphere, coarse detail in the lower, solvent around."""
    rng = np.random.default_rng(0)
    fine = scattered_blobs(rng, 40, 1.0, (1, 14))
    coarse = scattered_blobs(rng, 8, 4.0, (-14, -3))
    return (fine + coarse).astype(np.float32)


def split_noise(xp: ModuleType, volume: np.ndarray, power: np.ndarray = WHITE):
    masked = xp.asarray(volume * SUPPORT)
    risk = SplitNoiseRisk(masked, xp.asarray(SUPPORT), power, CUTOFFS, ORDER)
    return search(risk, CUTOFFS, order=ORDER, awf=AWF)


def cross_half(xp: ModuleType, volume: np.ndarray, partner: np.ndarray):
    risk = CrossHalfRisk(xp.asarray(volume * SUPPORT), xp.asarray(partner * SUPPORT))
    return search(risk, CUTOFFS, order=ORDER, awf=AWF)


def relative_error(volume: np.ndarray, truth: np.ndarray) -> float:
    """Squared error to the truth inside the particle."""
    inside = soft_sphere(BOX, 14, 3) > 0.5
    return float(((volume - truth)[inside] ** 2).sum() / (truth[inside] ** 2).sum())


# ---- the search step by step, in float64 --------------------------------------------------------


def filtered_bank(volume: np.ndarray) -> list[np.ndarray]:
    axis, half = np.fft.fftfreq(BOX, 1 / BOX), np.arange(BOX // 2 + 1)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2)
    transform = np.fft.rfftn(volume.astype(np.float64))
    gains = (1 / np.sqrt(1 + (radius / cutoff) ** (2 * ORDER)) for cutoff in CUTOFFS)
    return [np.fft.irfftn(transform * gain, s=(BOX,) * 3, axes=(0, 1, 2)) for gain in gains]


def split_noise_densities(masked: np.ndarray, bank: list[np.ndarray]) -> list[np.ndarray]:
    axis = np.fft.fftfreq(BOX, 1 / BOX)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    shell = np.floor(radius + 0.5)
    measured = shell <= BOX // 2
    densities = []
    for cutoff, filtered in zip(CUTOFFS, bank, strict=True):
        gain = 1 / np.sqrt(1 + (shell[measured] / cutoff) ** (2 * ORDER))
        variance = ((1 + gain) ** 2).sum() * WHITE[0] / BOX**6
        densities.append((masked - filtered) ** 2 + variance * SUPPORT.astype(np.float64) ** 2)
    return densities


def windowed(density: np.ndarray, cutoff: float) -> np.ndarray:
    """Smooth with a Gaussian of AWF / 6 wavelengths of the cutoff."""
    sigma = AWF / 6 * BOX / cutoff
    axis, half = np.fft.fftfreq(BOX), np.arange(BOX // 2 + 1) / BOX
    frequency2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2
    transform = np.fft.rfftn(density) * np.exp(-2 * np.pi**2 * sigma**2 * frequency2)
    return np.fft.irfftn(transform, s=(BOX,) * 3, axes=(0, 1, 2))


def accumulated_differences(densities: list[np.ndarray]) -> np.ndarray:
    rises = [
        windowed(after - before, cutoff)
        for before, after, cutoff in zip(densities, densities[1:], CUTOFFS[1:], strict=False)
    ]
    return np.cumsum([np.zeros((BOX,) * 3), *rises], axis=0)


def naive_windows(densities: list[np.ndarray]) -> np.ndarray:
    """Each density in its own window: what the search must not do."""
    return np.array([windowed(e, cutoff) for e, cutoff in zip(densities, CUTOFFS, strict=True)])


def choose(risks: np.ndarray, bank: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    level = risks.argmin(axis=0)
    return level, np.take_along_axis(np.array(bank), level[None], axis=0)[0]


# ---- tests --------------------------------------------------------------------------------------


def test_the_search_is_what_the_formula_says(xp, phantom):
    half = phantom + noise(1)
    found = split_noise(xp, half)
    bank = filtered_bank(half * SUPPORT)
    risks = accumulated_differences(split_noise_densities(half * SUPPORT, bank))
    level, value = choose(risks, bank)
    here = SUPPORT > 0.01  # in the empty rest all risks are equal
    found_level = to_host(found.level)
    assert (found_level == level)[here].mean() > 0.999
    chosen = np.take_along_axis(risks, found_level[None].astype(int), axis=0)[0]
    assert (chosen - risks.min(axis=0))[here].max() < 1e-5 * np.ptp(risks)
    error = (to_host(found.value) - value)[here]
    assert np.sqrt((error**2).mean()) < 1e-4 * value.std()
    assert found.value.dtype == np.float32


SMALL_BOX = 72
SMALL_CUTOFFS = cutoff_levels(SMALL_BOX, 2.0, SMALL_BOX // 2, 30)


def small_particle(centre: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Support and two half-maps of a particle of 30 voxels, half of it detailed, with its centre.

    Most of the box is empty, as around most particles.
    """
    rng = np.random.default_rng(2)
    support = soft_sphere(SMALL_BOX, 12, 3)
    texture = np.fft.rfftn(rng.standard_normal((SMALL_BOX,) * 3))
    axis, half = np.fft.fftfreq(SMALL_BOX, 1 / SMALL_BOX), np.arange(SMALL_BOX // 2 + 1)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2)
    fine, coarse = (np.fft.irfftn(texture * np.exp(-radius / scale)) for scale in (8, 3))
    particle = np.where(np.arange(SMALL_BOX) < SMALL_BOX // 2, fine, 3 * coarse)
    particle /= particle[support > 0.5].std()
    halves = [(particle + 0.5 * rng.standard_normal(particle.shape)) * support for _ in range(2)]
    shift = np.array(centre) - SMALL_BOX // 2
    moved = [np.roll(volume, shift, axis=(0, 1, 2)) for volume in (support, *halves)]
    support, half, partner = (volume.astype(np.float32) for volume in moved)
    return support, half, partner


def small_risk(kind: str, xp: ModuleType, centre: tuple[int, int, int], order: int):
    support, half, partner = (xp.asarray(volume) for volume in small_particle(centre))
    if kind == "split-noise":
        power = np.full(SMALL_BOX // 2 + 1, 0.25 * SMALL_BOX**3)
        return SplitNoiseRisk(half, support, power, SMALL_CUTOFFS, order)
    if kind == "cross-half":
        return CrossHalfRisk(half, partner)
    return QuarterRisk((half + partner) / 2, half, partner)


@pytest.mark.parametrize(
    ("kind", "centre", "order", "awf"),
    [
        ("split-noise", (36, 36, 36), 8, 3.0),
        ("cross-half", (36, 36, 36), 8, 3.0),
        ("quarter", (36, 36, 36), 8, 3.0),
        ("split-noise", (26, 38, 46), 8, 3.0),
        ("split-noise", (36, 36, 36), 4, 1.5),
    ],
)
def test_small_cubes_and_low_frequencies_find_what_the_plain_search_finds(
    xp, plain_search, kind, centre, order, awf
):
    support, *_ = small_particle(centre)
    level, value = plain_search(small_risk(kind, np, centre, order), SMALL_CUTOFFS, order, awf)
    risk = small_risk(kind, xp, centre, order)
    assert len(list(cubes(risk.maps, SMALL_CUTOFFS))) >= 3  # else this tests nothing
    found = search(risk, SMALL_CUTOFFS, order=order, awf=awf)
    same = to_host(found.level) == level
    assert same[support > 0.5].mean() > 0.999
    error = abs(to_host(found.value) - value) / abs(value).max()
    assert error[same].max() < 1e-4
    assert np.sqrt((error**2).mean()) < 1e-4


def test_pure_noise_gets_the_coarsest_cutoff(xp):
    core = SUPPORT == 1
    assert (to_host(split_noise(xp, noise(1)).level)[core] == 0).mean() > 0.95
    assert (to_host(cross_half(xp, noise(1), noise(2)).level)[core] == 0).mean() > 0.95


def test_without_noise_every_voxel_gets_the_finest_cutoff(xp, phantom):
    finest = len(CUTOFFS) - 1
    core = SUPPORT == 1
    sharp = np.random.default_rng(0).standard_normal((BOX,) * 3, dtype=np.float32)
    assert (to_host(split_noise(xp, sharp, 0 * WHITE).level)[core] == finest).all()
    assert (to_host(cross_half(xp, sharp, sharp).level)[core] == finest).all()


def test_the_boundary_between_fine_and_coarse_detail_is_found(xp, phantom):
    level = to_host(split_noise(xp, phantom + noise(1)).level)
    inside = soft_sphere(BOX, 14, 3) > 0.5
    z = np.arange(BOX) - BOX // 2
    cutoff = [np.median(CUTOFFS[level[k]][inside[k]]) for k in range(BOX) if inside[k].any()]
    z = z[inside.any(axis=(1, 2))]
    fine, coarse = (z >= 3) & (z <= 10), (z <= -5)
    assert np.min(cutoff, where=fine, initial=99) > 8
    assert np.max(cutoff, where=coarse, initial=0) < 6


def test_a_local_cutoff_comes_closer_to_the_truth_than_any_uniform_one(xp, phantom):
    half = phantom + noise(1)
    local = relative_error(to_host(split_noise(xp, half).value), phantom)
    crossed = relative_error(to_host(cross_half(xp, half, phantom + noise(2)).value), phantom)
    uniform = min(relative_error(volume, phantom) for volume in filtered_bank(half * SUPPORT))
    assert local < 0.7 * uniform
    assert crossed < 0.7 * uniform


def test_the_bias_of_naive_windows_does_not_come_back(phantom):
    half = phantom + noise(1)
    bank = filtered_bank(half * SUPPORT)
    _, naive = choose(naive_windows(split_noise_densities(half * SUPPORT, bank)), bank)
    ours = split_noise(np, half).value
    uniform = min(relative_error(volume, phantom) for volume in bank)
    assert relative_error(naive, phantom) > 3 * uniform
    assert relative_error(ours, phantom) < uniform


def test_the_halves_of_a_cross_validation_share_their_cutoffs(xp, phantom):
    half, partner = phantom + noise(1), phantom + noise(2)
    here, there = cross_half(xp, half, partner), cross_half(xp, partner, half)
    np.testing.assert_array_equal(to_host(here.level), to_host(there.level))
    assert np.std(to_host(here.value - there.value)) > 0.01


ABOUT_ORIGIN = -np.arange(BOX) % BOX  # index i of axis offset o goes to that of -o
SYMMETRIES = {
    "quarter turn": lambda volume: np.swapaxes(volume, 1, 2)[:, ABOUT_ORIGIN, :],
    "half turn": lambda volume: volume[np.ix_(ABOUT_ORIGIN, ABOUT_ORIGIN, range(BOX))],
    "mirror": lambda volume: volume[ABOUT_ORIGIN],
    "mirror in a diagonal": lambda volume: np.swapaxes(volume, 0, 2),
}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetric_input_gives_symmetric_output(xp, phantom, symmetry):
    operate = SYMMETRIES[symmetry]
    orbit = [phantom + noise(1)]
    for _ in range(3):
        orbit.append(operate(orbit[-1]))
    symmetric = np.mean(orbit, axis=0, dtype=np.float32)
    np.testing.assert_allclose(operate(symmetric), symmetric, atol=1e-6)
    found = split_noise(xp, symmetric, WHITE / 4)
    level, value = to_host(found.level), to_host(found.value)
    here = SUPPORT > 0.01
    assert (operate(level) == level)[here].mean() > 0.999
    assert np.std(operate(value) - value) < 1e-3 * value.std()
    assert len(np.unique(level[here])) > 3


def test_low_frequencies_pass_unchanged(phantom):
    half = phantom + noise(1)
    value = split_noise(np, half).value
    before, after = np.fft.fftn(half * SUPPORT), np.fft.fftn(value)
    axis = np.fft.fftfreq(BOX, 1 / BOX)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    low = radius < CUTOFFS[0]
    gain = (after * before.conj()).real[low].sum() / (np.abs(before[low]) ** 2).sum()
    assert gain == pytest.approx(1, abs=0.02)


def test_progress_counts_every_level(phantom):
    told = []
    risk = CrossHalfRisk(phantom, phantom)
    search(risk, CUTOFFS[:4], order=ORDER, awf=AWF, progress=lambda *counts: told.append(counts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_one_cutoff_is_a_uniform_filter(phantom):
    found = search(CrossHalfRisk(phantom, phantom), CUTOFFS[3:4], order=ORDER, awf=AWF)
    np.testing.assert_array_equal(found.level, 0)
    np.testing.assert_allclose(found.value, filtered_bank(phantom)[3], rtol=0, atol=1e-5)
