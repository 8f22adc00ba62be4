from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import starfile

from plugin_core.fourier import rfftn, squared_radius
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.postprocessing.phase_randomization import corrected_fsc, randomize_phases

# Shell, corrected, masked and phase-randomised FSC as RELION 3.0.8 printed them for a pair of
# sub-tomogram averages, with phases random from shell 22 (data set of teamtomo/starfile, BSD-3).
RELIONS_TABLE = np.array(
    [
        [20, 0.986295, 0.986295, 0.985420],
        [21, 0.972487, 0.972487, 0.957604],
        [22, 0.954182, 0.954182, 0.695740],
        [23, 0.954472, 0.954472, 0.409996],
        [24, 0.830088, 0.912479, 0.484903],
        [25, 0.688060, 0.880461, 0.616788],
        [26, 0.428696, 0.785818, 0.625099],
        [33, 0.569022, 0.699586, 0.302947],
        [40, 0.328598, 0.414474, 0.127906],
        [48, 0.282401, 0.371575, 0.124267],
    ]
)
PRINTED = 5e-6  # six decimals in, amplified by 1 / (1 - FSC_n)

RELIONS_FILE = (
    Path(__file__).parents[4] / "shared/data/reference_star/sta_relion308_postprocess.star.gz"
)


@pytest.fixture(params=[16, 17])
def volume(request: pytest.FixtureRequest) -> np.ndarray:
    box = request.param
    return np.random.default_rng(1).standard_normal((box,) * 3, dtype=np.float32)


def test_only_the_phases_from_the_shell_on_change(volume: np.ndarray) -> None:
    before, after = rfftn(volume), rfftn(randomize_phases(volume, 5, seed=7))
    radius = np.sqrt(squared_radius(volume.shape[0]))
    np.testing.assert_allclose(abs(after), abs(before), rtol=1e-4, atol=1e-3)
    coarse = radius < 4.5
    np.testing.assert_allclose(after[coarse], before[coarse], atol=1e-3)
    turned = np.angle(after[~coarse] / before[~coarse])
    assert np.mean(abs(turned) < 0.01) < 0.02


def test_random_phases_do_not_correlate_with_the_true_ones_nor_with_each_other(pair) -> None:
    random1 = randomize_phases(pair.signal, 6, seed=(1, 1))
    random2 = randomize_phases(pair.signal, 6, seed=(1, 2))
    shells = np.arange(10, 33)
    independent = 2 * np.pi * shells**2  # half the voxels of a shell
    for other in (pair.signal, random2):
        score = fourier_shell_correlation(random1, other)[10:] * np.sqrt(independent)
        assert abs(score).max() < 4
        assert 0.6 < score.std() < 1.4


def test_a_seed_gives_the_same_phases_again(volume: np.ndarray) -> None:
    once, again, other = (randomize_phases(volume, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert abs(once - other).max() > 0.1


def test_correction_is_relions() -> None:
    shells = RELIONS_TABLE[:, 0].astype(int)
    corrected, masked, randomised = np.ones((3, 49))
    corrected[shells], masked[shells], randomised[shells] = RELIONS_TABLE[:, 1:].T
    with np.errstate(invalid="ignore"):  # 0 / 0 in the shells that the table leaves out
        found = corrected_fsc(masked, randomised, 22)
    np.testing.assert_allclose(found[shells], corrected[shells], atol=PRINTED)


@pytest.mark.skipif(not RELIONS_FILE.exists(), reason="the shared reference data are not here")
def test_correction_is_relions_over_a_whole_file(tmp_path: Path) -> None:
    plain = tmp_path / "postprocess.star"
    plain.write_bytes(gzip.decompress(RELIONS_FILE.read_bytes()))
    blocks = starfile.read(plain)
    general, curves = blocks["general"], blocks["fsc"]
    angstrom = curves["rlnAngstromResolution"].to_numpy()
    first = int(np.argmin(abs(angstrom - general["rlnRandomiseFrom"])))
    found = corrected_fsc(
        curves["rlnFourierShellCorrelationMaskedMaps"].to_numpy(),
        curves["rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"].to_numpy(),
        first,
    )
    expected = curves["rlnFourierShellCorrelationCorrected"].to_numpy()
    np.testing.assert_allclose(found, expected, atol=PRINTED)
