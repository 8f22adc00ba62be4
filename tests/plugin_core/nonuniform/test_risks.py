"""Risk densities against their formulae on the full grid; the noise term against drawn noise."""

from __future__ import annotations

import numpy as np
import pytest

from plugin_core.backend import array_module, to_host
from plugin_core.fourier import shell_power
from plugin_core.masks import soft_sphere
from plugin_core.nonuniform.risks import CrossHalfRisk, QuarterRisk, SplitNoiseRisk, noise_term

BOX, ORDER = 24, 8
ALL_SHELLS = 22  # the corners of the Fourier grid included
CUTOFFS = np.array([2.0, 4.0, 7.0, 11.0])


def gain_of(cutoff):
    return lambda radius: 1 / np.sqrt(1 + (radius / cutoff) ** (2 * ORDER))


def two_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A soft mask and two half-maps times it."""
    rng = np.random.default_rng(0)
    support = soft_sphere(BOX, 7, 4)
    signal = rng.standard_normal((BOX,) * 3)
    halves = [(signal + rng.standard_normal((BOX,) * 3)) * support for _ in range(2)]
    return support, *(half.astype(np.float32) for half in halves)


def check_differences(risk, densities, full_filter):
    """Each difference is that of two neighbouring densities, in the whole box and in parts of it.

    The filters are those of the whole box in either case.
    """
    xp = array_module(risk.maps[0])
    levels = [
        [
            xp.asarray(full_filter(to_host(volume), gain_of(cutoff)), dtype=np.float32)
            for volume in risk.maps
        ]
        for cutoff in CUTOFFS
    ]
    whole = (slice(0, BOX),) * 3
    part = (slice(2, 20), slice(0, 18), slice(6, 24))
    for region, z in ((whole, slice(0, BOX)), (whole, slice(5, 9)), (part, slice(3, 11))):
        for level in range(1, len(CUTOFFS)):
            current, previous = (
                [volume[region][z] for volume in levels[index]] for index in (level, level - 1)
            )
            found = risk.within(region).difference(level, z, current, previous)
            assert found.dtype == np.float32
            expected = densities[level] - densities[level - 1]
            np.testing.assert_allclose(
                to_host(found), expected[region][z], rtol=0, atol=2e-6 * abs(expected).max()
            )


def test_split_noise_risk(xp, full_filter):
    support, half, _ = two_maps()
    power = 1e4 / (1 + np.arange(BOX // 2 + 1.0))
    risk = SplitNoiseRisk(xp.asarray(half), xp.asarray(support), power, CUTOFFS, ORDER)
    variances = noise_term(power, BOX, CUTOFFS, ORDER)
    check_differences(
        risk,
        [
            (half - full_filter(half, gain_of(cutoff))) ** 2.0
            + variance * support.astype(float) ** 2
            for cutoff, variance in zip(CUTOFFS, variances, strict=True)
        ],
        full_filter,
    )


def test_cross_half_risk(xp, full_filter):
    _, half, partner = two_maps()
    risk = CrossHalfRisk(xp.asarray(half), xp.asarray(partner))
    check_differences(
        risk,
        [
            0.5 * (full_filter(half, gain_of(cutoff)) - partner) ** 2
            + 0.5 * (full_filter(partner, gain_of(cutoff)) - half) ** 2
            for cutoff in CUTOFFS
        ],
        full_filter,
    )


def test_quarter_risk_is_that_of_the_quarter_maps_alone(xp, full_filter):
    support, half, _ = two_maps()
    rng = np.random.default_rng(2)
    drawn = (rng.standard_normal(half.shape) * support).astype(np.float32)
    quarters = half + drawn, half - drawn
    risk = QuarterRisk(*(xp.asarray(each) for each in (half, *quarters)))
    check_differences(
        risk,
        [
            0.5 * (full_filter(quarters[0], gain_of(cutoff)) - quarters[1]) ** 2
            + 0.5 * (full_filter(quarters[1], gain_of(cutoff)) - quarters[0]) ** 2
            for cutoff in CUTOFFS
        ],
        full_filter,
    )


def test_the_map_to_be_regularised_comes_first():
    support, half, partner = two_maps()
    split = SplitNoiseRisk(half, support, np.ones(BOX // 2 + 1), CUTOFFS, ORDER)
    for risk in (split, CrossHalfRisk(half, partner), QuarterRisk(half, partner, -partner)):
        np.testing.assert_array_equal(risk.maps[0], half)


@pytest.mark.parametrize("colour", [0.0, 0.3], ids=["white", "coloured"])
def test_the_noise_term_is_the_mean_square_of_filtered_noise(full_filter, colour):
    cutoffs = CUTOFFS[1:]  # below, shells are too wide for the noise term's precision
    rng = np.random.default_rng(0)
    draws = [
        full_filter(rng.standard_normal((BOX,) * 3), lambda radius: np.exp(-colour * radius))
        for _ in range(10)
    ]
    power = np.mean([shell_power(draw.astype(np.float32), ALL_SHELLS) for draw in draws], axis=0)
    expected = [
        np.mean([(draw + full_filter(draw, gain_of(cutoff))) ** 2 for draw in draws])
        for cutoff in cutoffs
    ]
    np.testing.assert_allclose(noise_term(power, BOX, cutoffs, ORDER), expected, rtol=0.02)


def test_split_noise_is_the_mean_risk_of_maps_split_by_drawn_noise(full_filter):
    """Eqn 5 of Punjani et al. for m + n and m - n, averaged over n, at the centre of the mask."""
    support, half, _ = two_maps()
    rng = np.random.default_rng(1)
    cutoff = CUTOFFS[2]
    density = np.zeros(half.shape)
    draws = 30
    for _ in range(draws):
        drawn = support * rng.standard_normal(half.shape)
        plus, minus = half + drawn, half - drawn
        for one, other in ((plus, minus), (minus, plus)):
            density += 0.5 / draws * (full_filter(one, gain_of(cutoff)) - other) ** 2
    white = np.full(ALL_SHELLS, float(BOX) ** 3)
    (variance,) = noise_term(white, BOX, np.array([cutoff]), ORDER)
    expected = (half - full_filter(half, gain_of(cutoff))) ** 2 + variance * support**2
    core = support == 1
    assert density[core].mean() == pytest.approx(expected[core].mean(), rel=0.02)
