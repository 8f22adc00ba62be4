"""RELION reconstructs the simulated particles with their true poses: is it the true map?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from plugin_core.fsc import fourier_shell_correlation
from relion_external.simulated_set import SimulationOptions, demo_specimen, write_simulated_set

pytestmark = pytest.mark.relion


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """RELION's reconstruction and the truth, of 600 nearly noise-free particles without a belt."""
    folder: Path = tmp_path_factory.mktemp("set")
    options = SimulationOptions(
        particles=600,
        box=48,
        voxel_size=4.0,
        signal_to_noise=10.0,
        astigmatism_sd=4000.0,
    )
    simulated = write_simulated_set(folder, options, specimen=demo_specimen(in_belt=False))
    subprocess.run(
        ["relion_reconstruct", "--i", "truth.star", "--ctf", "--o", "reconstruction.mrc"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )
    return mrcfile.read(folder / "reconstruction.mrc"), mrcfile.read(simulated.true_map)


def test_the_reconstruction_agrees_with_the_truth(maps: tuple[np.ndarray, np.ndarray]) -> None:
    fsc = fourier_shell_correlation(*maps)
    assert fsc[1:12].min() > 0.99  # to 16 Å
    assert fsc[12:20].min() > 0.95  # to 9.6 Å


def test_contrast_and_scale_are_those_of_the_truth(maps: tuple[np.ndarray, np.ndarray]) -> None:
    reconstruction, truth = maps
    slope = np.sum(reconstruction * truth) / np.sum(truth**2)
    assert slope == pytest.approx(1.0, abs=0.05)


def test_neither_mirrored_nor_shifted(maps: tuple[np.ndarray, np.ndarray]) -> None:
    reconstruction, truth = maps
    correlation = np.fft.irfftn(
        np.fft.rfftn(reconstruction) * np.fft.rfftn(truth).conj(), truth.shape, axes=(0, 1, 2)
    )
    assert np.unravel_index(correlation.argmax(), correlation.shape) == (0, 0, 0)
    mirrored = fourier_shell_correlation(reconstruction, truth[:, :, ::-1])
    assert mirrored[4:12].max() < 0.5
