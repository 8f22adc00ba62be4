"""Nothing is found where nothing is: real refinements of images without signal, in part or at all.

What a regulariser that makes the half-sets alike would show: an FSC between raw half-maps that
rises above zero where the images hold noise alone. RELION's own run is held to the same measure,
and a hook that does flatter must not pass it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from plugin_core.fourier import shell_counts
from relion_external.simulated_set import demo_specimen, write_simulated_set
from tests.relion.conftest import PARTICLE_DIAMETER, SIMULATION, Relion

if TYPE_CHECKING:
    from pathlib import Path

    from tests.relion.conftest import Run

pytestmark = pytest.mark.relion

ITERATIONS = 4
LIMIT = 3.5
"""Standard errors."""

RANDOM_BEYOND = 18.0  # Å
METHODS = {
    "RELION": None,
    "split-noise": "",
    "cross-half": "--risk cross-half",
    "quarter": "--risk quarter",
    "denoiser": "--method denoiser --stride 44",  # the fewest blocks that leave no gaps
}
BOX, VOXEL_SIZE = SIMULATION.box, SIMULATION.voxel_size
WIDTH = BOX * VOXEL_SIZE


@pytest.fixture(scope="module", params=["noise", "randomised"])
def signal_less(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Relion:
    """Images of pure noise, or with random phases beyond 18 Å."""
    options = (
        replace(SIMULATION, particles=200, empty=True)
        if request.param == "noise"
        else replace(SIMULATION, particles=200, random_phases_beyond=RANDOM_BEYOND)
    )
    folder: Path = tmp_path_factory.mktemp(request.param)
    return Relion(write_simulated_set(folder, options, specimen=demo_specimen(in_belt=False)))


@pytest.mark.parametrize("method", METHODS)
def test_no_correlation_is_found_where_there_is_no_signal(signal_less: Relion, method: str) -> None:
    if method == "denoiser":
        pytest.importorskip("torch")
    run = signal_less.auto_refine(
        f"{method}/run", "--auto_iter_max", str(ITERATIONS), hook=METHODS[method]
    ).succeeded()
    assert abs(standardised_mean(signal_less, run)) < LIMIT


def test_a_hook_that_flatters_is_found_out(signal_less: Relion) -> None:
    run = signal_less.auto_refine(
        "flattered/run",
        *("--auto_iter_max", str(ITERATIONS)),
        program=[sys.executable, "-m", "tests.relion.flattering_hook"],
    ).succeeded()
    assert standardised_mean(signal_less, run) > 2 * LIMIT


def standardised_mean(signal_less: Relion, run: Run) -> float:
    """Mean of the FSC beyond all signal, over its standard error."""
    # Up to 40 Å RELION joins the half-sets. Images of noise converge after two or three iterations.
    finest = 40.0 if "noise" in signal_less.folder.name else RANDOM_BEYOND
    first = int(np.ceil(WIDTH / finest)) + 3
    values = [z for fsc in curves(run) for z in standardised(fsc)[first:]]
    assert len(values) >= 6
    return float(np.mean(values) * np.sqrt(len(values)))


def curves(run: Run) -> Iterator[np.ndarray]:
    """RELION's FSC of each iteration up to the last shell that it had measured."""
    for iteration in range(2, ITERATIONS + 1):
        name = f"run_it{iteration:03d}_half1"
        if (run.folder / f"{name}_model.star").exists():  # RELION may have converged before
            size = int(run.model(name)["rlnCurrentImageSize"])
            fsc = np.asarray(run.model(name, "model_class_1")["rlnGoldStandardFsc"], np.float64)
            yield fsc[: size // 2]


def standardised(fsc: np.ndarray) -> np.ndarray:
    """FSC over its standard error for independent noise that fills the particle's sphere.

    A noise map within a sphere of a fraction f of the box has f times the independent values in a
    shell, of which half are Friedel mates.
    """
    radius = PARTICLE_DIAMETER / VOXEL_SIZE / 2
    fraction = min(1.0, 4 / 3 * np.pi * radius**3 / BOX**3)
    return fsc * np.sqrt(np.maximum(shell_counts(BOX, len(fsc)) / 2 * fraction, 1))
