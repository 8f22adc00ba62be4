"""The same figures from relion_postprocess itself."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile

from plugin_core.fourier import rfftn, shell_table, squared_radius
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.postprocessing.fsc_set import FscSet, fsc_set
from plugin_core.postprocessing.guinier import fit_b_factor, guinier_plot
from plugin_core.postprocessing.phase_randomization import corrected_fsc, randomize_phases
from plugin_core.postprocessing.sharpening import sharpened_map
from relion_external.fsc_xml import write_fsc_xml

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_postprocess") is None,
        reason="relion_postprocess (Debian package relion) is not on the PATH",
    ),
]

PRINTED = 1e-5  # RELION prints five decimals at least: negative numbers have the fewest


@dataclass(frozen=True)
class Postprocessed:
    """What relion_postprocess wrote."""

    folder: Path
    general: dict[str, Any]
    fsc: Any
    guinier: Any

    def curve(self, of: str) -> np.ndarray:
        """A column of the FSC table by the end of its label."""
        (label,) = (name for name in self.fsc.columns if name.endswith(of))
        return self.fsc[label].to_numpy()

    @property
    def corrected(self) -> np.ndarray:
        return self.curve("CorrelationCorrected")


def run_postprocess(folder: Path, *options: str) -> Postprocessed:
    (folder / "out").mkdir(exist_ok=True)  # RELION puts its logfile.pdf here
    inputs = ["--i", "half1.mrc", "--i2", "half2.mrc", "--mask", "mask.mrc", "--angpix", "1.5"]
    subprocess.run(
        ["relion_postprocess", *inputs, "--o", "out", *options],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=120,
    )
    blocks = starfile.read(folder / "out.star")
    return Postprocessed(folder, blocks["general"], blocks["fsc"], blocks.get("guinier"))


@pytest.fixture(scope="module")
def relion(pair, tmp_path_factory: pytest.TempPathFactory) -> Postprocessed:
    """Sharpened up to the resolution, and cut there; both are found by a first run."""
    folder = tmp_path_factory.mktemp("postprocess")
    for name in ("half1", "half2", "mask"):
        with mrcfile.new(folder / f"{name}.mrc", getattr(pair, name)) as mrc:
            mrc.voxel_size = pair.voxel_size
    resolution = run_postprocess(folder).general["rlnFinalResolution"]
    finest = f"{0.999 * resolution:.6f}"  # rounding must not leave the last shell out
    return run_postprocess(folder, "--auto_bfac", "--autob_highres", finest, "--low_pass", "-1")


@pytest.fixture(scope="module")
def ours(pair) -> FscSet:
    return fsc_set(pair.half1, pair.half2, pair.mask, pair.voxel_size)


def relions_fsc(map1: np.ndarray, map2: np.ndarray) -> np.ndarray:
    """FSC over the half-complex array as it stands, as RELION sums it.

    The plane x = 0 holds both voxels of each Friedel pair, the rest one: RELION counts that plane
    twice, where ours counts every voxel of the full transform once.
    """
    shell = shell_table(map1.shape[0])[squared_radius(map1.shape[0])].ravel()
    f1, f2 = (rfftn(volume).ravel() for volume in (map1, map2))
    cross, power1, power2 = (
        np.bincount(shell, values) for values in ((f1 * f2.conj()).real, abs(f1) ** 2, abs(f2) ** 2)
    )
    return (cross / np.sqrt(power1 * power2))[: map1.shape[0] // 2 + 1]


@pytest.mark.parametrize("masked", [False, True])
def test_fsc_is_relions_but_for_its_doubled_plane(
    pair, relion: Postprocessed, masked: bool
) -> None:
    weight = pair.mask if masked else np.float32(1)
    halves = pair.half1 * weight, pair.half2 * weight
    expected = relion.curve("CorrelationMaskedMaps" if masked else "CorrelationUnmaskedMaps")
    np.testing.assert_allclose(relions_fsc(*halves)[1:], expected[1:], atol=PRINTED)
    # Doubling one plane changes a mean over 2 pi r^2 independent voxels by the deviation of the
    # plane's own mean, over pi r of them, times its share 1 / (2 r).
    shells = np.arange(1, 33)
    covered = (pair.mask**2).mean() if masked else 1.0
    deviation = (1 - expected[1:] ** 2) / np.sqrt(np.pi * shells * covered) / (2 * shells)
    difference = fourier_shell_correlation(*halves)[1:] - expected[1:]
    assert (abs(difference) < 4 * deviation).all()


def test_phases_are_randomised_from_the_same_shell(ours: FscSet, relion: Postprocessed) -> None:
    assert ours.randomised_from is not None
    assert 96 / ours.randomised_from == pytest.approx(relion.general["rlnRandomiseFrom"])


def test_correction_is_relions(ours: FscSet, relion: Postprocessed) -> None:
    assert ours.randomised_from is not None
    found = corrected_fsc(
        relion.curve("CorrelationMaskedMaps"),
        relion.curve("PhaseRandomizedMaskedMaps"),
        ours.randomised_from,
    )
    np.testing.assert_allclose(found, relion.corrected, atol=PRINTED)


def test_relions_random_phases_are_a_draw_like_ours(
    pair, ours: FscSet, relion: Postprocessed
) -> None:
    """From the first corrected shell on, in standard errors of 16 draws of our own."""
    assert ours.randomised_from is not None
    first = ours.randomised_from
    draws = np.array(
        [
            fourier_shell_correlation(
                randomize_phases(pair.half1, first, (seed, 1)) * pair.mask,
                randomize_phases(pair.half2, first, (seed, 2)) * pair.mask,
            )
            for seed in range(16)
        ]
    )[:, first + 2 :]
    score = relion.curve("PhaseRandomizedMaskedMaps")[first + 2 :] - draws.mean(axis=0)
    score /= draws.std(axis=0, ddof=1)
    assert abs(score).max() < 4
    assert 0.5 < np.sqrt(np.mean(score**2)) < 1.5


def test_resolution_is_relions_to_a_shell(ours: FscSet, relion: Postprocessed) -> None:
    """Random phases may move the crossing, as another seed does in RELION."""
    by_relions_curve = fsc_shell(relion.general["rlnFinalResolution"])
    assert abs(fsc_shell(ours.resolution_angstrom()) - by_relions_curve) <= 1


def fsc_shell(resolution_angstrom: float) -> int:
    return round(96 / resolution_angstrom)


def test_guinier_plot_is_relions(pair, relion: Postprocessed) -> None:
    plot = guinier_plot(pair.average, relion.corrected, pair.voxel_size)
    table = relion.guinier
    np.testing.assert_allclose(
        plot.inverse_resolution_squared, table["rlnResolutionSquared"], atol=PRINTED
    )
    # RELION's doubled plane again: a mean amplitude deviates by half of itself.
    shells = np.maximum(np.arange(33), 1)
    deviation = 0.5 / np.sqrt(np.pi * shells) / (2 * shells)
    for found, label in (
        (plot.log_amplitude, "rlnLogAmplitudesOriginal"),
        (plot.log_weighted_amplitude, "rlnLogAmplitudesWeighted"),
    ):
        assert (abs(found - table[label]) < 4 * deviation + 1e-5)[:32].all()


def test_b_factor_is_relions(pair, relion: Postprocessed) -> None:
    plot = guinier_plot(pair.average, relion.corrected, pair.voxel_size)
    fit = fit_b_factor(plot, relion.corrected)
    general = relion.general
    assert fit.b_factor == pytest.approx(general["rlnBfactorUsedForSharpening"], rel=0.01)
    assert fit.intercept == pytest.approx(general["rlnFittedInterceptGuinierPlot"], abs=0.005)
    assert fit.r_squared == pytest.approx(general["rlnCorrelationFitGuinierPlot"], abs=0.005)


def test_sharpened_map_is_relions(pair, relion: Postprocessed) -> None:
    b_factor = relion.general["rlnBfactorUsedForSharpening"]
    found = sharpened_map(pair.average, relion.corrected, pair.voxel_size, b_factor)
    expected = mrcfile.read(relion.folder / "out.mrc")
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.std())


def test_fsc_xml_is_relions(relion: Postprocessed, tmp_path: Path) -> None:
    """RELION's own values, read from its file, are written as it wrote them, byte for byte."""
    theirs = (relion.folder / "out_fsc.xml").read_text()
    values = [float(line[7:-4]) for line in theirs.splitlines() if line.startswith("    <y>")]
    path = tmp_path / "fsc.xml"
    write_fsc_xml(path, np.array(values), 64, 1.5, "RELION masked-corrected FSC")
    assert path.read_text() == theirs
