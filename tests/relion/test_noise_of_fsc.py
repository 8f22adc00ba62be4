"""The noise that the local filter reckons with, against the difference of RELION's own half-maps.

Only a test knows both halves. What RELION's FSC is of depends on --solvent_correct_fsc, and with it
where its split into signal and noise holds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plugin_core.fourier import shell_power
from plugin_core.fsc import last_shell_above
from plugin_core.masks import particle_sphere
from plugin_core.regularizers.interface import RegularizerInput
from relion_external.accumulated import Accumulated
from relion_external.iteration import read_call
from tests.relion.conftest import PARTICLE_DIAMETER, SIMULATION, Relion, Run

pytestmark = pytest.mark.relion

CALL = "run_it002_half1_class001"
JOINED_TO = 40.0  # Å
Inputs = Callable[[Run, str], RegularizerInput]


def noise_ratio(run: Run, reckoned: np.ndarray, region: np.ndarray) -> float:
    """Noise reckoned with over that of the half-maps in a region, from 40 Å to FSC 0.143."""
    call = read_call(run.folder / f"{CALL}_external_reconstruct.star")
    raw = [Accumulated(read_call(call.name.of_half(half)), 2, False, np).raw() for half in (1, 2)]
    shells = len(reckoned)
    there = shell_power((raw[0] - raw[1]) * region, shells) / 2 / np.mean(region**2)
    first = int(np.ceil(call.box * SIMULATION.voxel_size / JOINED_TO)) + 1
    last = last_shell_above(call.fsc)
    assert last > first + 2
    measured = slice(first, last + 1)
    return float(np.exp(np.mean(np.log(reckoned[measured] / there[measured]))))


def test_without_a_mask_it_is_that_of_the_particles_sphere(
    refined: Run, given_to_filter: Inputs
) -> None:
    inputs = given_to_filter(refined, CALL)
    sphere = particle_sphere(SIMULATION.box, PARTICLE_DIAMETER, SIMULATION.voxel_size)
    assert noise_ratio(refined, inputs.noise_power, sphere) == pytest.approx(1, abs=0.2)


def test_with_a_corrected_fsc_it_is_that_of_the_solvent_mask(
    relion: Relion, truth_mask: np.ndarray, given_to_filter: Inputs
) -> None:
    options = ("--solvent_mask", "mask.mrc", "--solvent_correct_fsc", "--auto_iter_max", "2")
    run = relion.auto_refine("corrected/run", *options).succeeded()
    inputs = given_to_filter(run, CALL)
    assert noise_ratio(run, inputs.noise_power, truth_mask) == pytest.approx(1, abs=0.2)
