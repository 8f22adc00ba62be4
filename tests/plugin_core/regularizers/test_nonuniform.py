"""The non-uniform regulariser: what it makes of its inputs and what it tells about the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import soft_sphere
from plugin_core.noise import from_fsc
from plugin_core.nonuniform.levels import cutoff_levels
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import RISKS, NonuniformParameters, regularize
from plugin_core.spectral_trailing import trail, trailing_shell

BOX, VOXEL_SIZE, MAX_SHELL = 32, 3.0, 14
SUPPORT = soft_sphere(BOX, 11, 4)


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((BOX,) * 3, dtype=np.float32)


def inputs(xp=np, half_map: np.ndarray | None = None, **changes) -> RegularizerInput:
    """Half of the sphere full of detail, noise everywhere."""
    signal = white(0) * (np.arange(BOX) > BOX // 2)
    return RegularizerInput(
        half_map=xp.asarray(signal + white(1) if half_map is None else half_map),
        partner=xp.asarray(signal + white(2)),
        support=xp.asarray(SUPPORT),
        noise_power=np.full(BOX // 2 + 1, float(BOX) ** 3),
        voxel_size=VOXEL_SIZE,
        max_shell=MAX_SHELL,
        quarters=(xp.asarray(signal + 1.4 * white(4)), xp.asarray(signal + 1.4 * white(5))),
        **changes,
    )


@pytest.mark.parametrize("risk", RISKS)
def test_cutoffs_are_told_in_angstrom_inside_the_support(xp, risk):
    found = regularize(inputs(xp), NonuniformParameters(risk, levels=9))
    cutoff = to_host(found.cutoff_angstrom)
    assert (cutoff[SUPPORT == 0] == 0).all()
    levels = BOX * VOXEL_SIZE / cutoff_levels(BOX, VOXEL_SIZE, MAX_SHELL, 9)
    assert set(cutoff[SUPPORT > 0]) <= set(levels.astype(np.float32))
    assert len(set(cutoff[SUPPORT > 0.5])) > 4
    percentiles = np.percentile(cutoff[SUPPORT > 0], (5, 50, 95))
    assert found.summary == {
        "risk": risk,
        "levels": 9,
        "cutoff_5th_percentile_angstrom": pytest.approx(percentiles[0], abs=1e-3),
        "cutoff_median_angstrom": pytest.approx(percentiles[1], abs=1e-3),
        "cutoff_95th_percentile_angstrom": pytest.approx(percentiles[2], abs=1e-3),
    }


@pytest.mark.parametrize("risk", RISKS)
def test_what_lies_outside_the_support_has_no_influence(xp, risk):
    solvent = np.where(SUPPORT == 0, 1e3 * white(3), 0).astype(np.float32)
    clean = inputs(xp)
    soiled = dataclasses.replace(
        clean,
        half_map=clean.half_map + xp.asarray(solvent),
        partner=clean.partner - xp.asarray(solvent),
        quarters=(clean.quarters[0] - xp.asarray(solvent), clean.quarters[1]),
    )
    parameters = NonuniformParameters(risk, levels=5)
    expected, found = regularize(clean, parameters), regularize(soiled, parameters)
    np.testing.assert_array_equal(to_host(found.volume), to_host(expected.volume))


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("order", [2, 8])
def test_with_one_level_it_is_a_uniform_butterworth_filter(full_filter, risk, order):
    given = inputs()
    found = regularize(given, NonuniformParameters(risk, order=order, levels=1)).volume
    cutoff = BOX * VOXEL_SIZE / 40
    expected = full_filter(
        given.half_map * SUPPORT, lambda radius: 1 / np.sqrt(1 + (radius / cutoff) ** (2 * order))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_split_noise_looks_at_one_half_map_only():
    alone = dataclasses.replace(inputs(), partner=None)
    parameters = NonuniformParameters("split-noise", levels=5)
    np.testing.assert_array_equal(
        regularize(alone, parameters).volume, regularize(inputs(), parameters).volume
    )


def test_cross_half_needs_the_other_half_map():
    alone = dataclasses.replace(inputs(), partner=None)
    with pytest.raises(ValueError, match="the cross-half risk needs the other half-map"):
        regularize(alone, NonuniformParameters("cross-half"))


def test_quarter_needs_quarter_maps():
    alone = dataclasses.replace(inputs(), quarters=None)
    with pytest.raises(ValueError, match="the quarter risk needs two quarter-maps"):
        regularize(alone, NonuniformParameters("quarter"))


def test_quarter_looks_at_no_other_half_set():
    alone = dataclasses.replace(inputs(), partner=None)
    parameters = NonuniformParameters("quarter", levels=5)
    np.testing.assert_array_equal(
        regularize(alone, parameters).volume, regularize(inputs(), parameters).volume
    )


def test_an_unknown_risk_is_refused():
    with pytest.raises(ValueError, match="one of split-noise, cross-half, quarter, not 'eighth'"):
        regularize(inputs(), NonuniformParameters("eighth"))


def correlation_grown(risk: str, rng: np.random.Generator) -> tuple[float, float]:
    """Regularise two halves of pure noise, trail, add fresh noise, six times.

    Returns the mean FSC from shell 6 on of the last half-maps, and of what regularisation made of
    them.
    """
    references = [np.zeros((BOX,) * 3, np.float32)] * 2
    (splitting,) = rng.spawn(1)
    for _ in range(6):
        halves = [r + rng.standard_normal(r.shape, dtype=np.float32) for r in references]
        # Adding and subtracting noise of the same strength makes two of independent noise.
        splits = [splitting.standard_normal(r.shape, dtype=np.float32) for r in references]
        quarters = [(half + n, half - n) for half, n in zip(halves, splits, strict=True)]
        fsc = fourier_shell_correlation(*(half * SUPPORT for half in halves))
        regularized = [
            regularize(
                RegularizerInput(
                    half_map=half,
                    partner=other,
                    support=SUPPORT,
                    noise_power=from_fsc(half, SUPPORT, fsc),
                    voxel_size=VOXEL_SIZE,
                    max_shell=MAX_SHELL,
                    quarters=pair,
                ),
                NonuniformParameters(risk, levels=8),
            ).volume
            for half, other, pair in zip(halves, halves[::-1], quarters, strict=True)
        ]
        shell = trailing_shell(fsc, 0)
        assert shell <= 4
        references = [trail(volume, shell) for volume in regularized]
    beyond = slice(6, MAX_SHELL + 1)
    return fsc[beyond].mean(), fourier_shell_correlation(*regularized)[beyond].mean()


@pytest.mark.parametrize("risk", RISKS)
def test_halves_of_pure_noise_do_not_grow_alike(risk):
    raw, regularized = np.array(
        [correlation_grown(risk, np.random.default_rng(seed)) for seed in range(10)]
    ).T
    assert is_zero_within_its_standard_error(raw, at_most=0.01)
    if risk != "cross-half":
        # Not so for cross-half: it lets through where two half-maps agree by chance, so what it
        # makes of them does agree. Trailing keeps that from the next half-maps.
        assert is_zero_within_its_standard_error(regularized, at_most=0.01)


def is_zero_within_its_standard_error(values: np.ndarray, at_most: float) -> bool:
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert standard_error < at_most
    return abs(values.mean()) < 3.5 * standard_error
