"""Sub-tomograms: RELION scales three-dimensional data differently, by a factor of the box size."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import starfile

from relion_external import star
from relion_external.simulated_set import ANGLES

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion


@pytest.fixture(scope="module")
def subtomograms(relion: Relion) -> str:
    """STAR file of two dozen rotated copies of the protein, with noise."""
    tables = star.read_blocks(relion.particles.true_particles)
    tables["optics"]["rlnImageDimensionality"] = 3
    particles = tables["particles"].loc[:23, [*ANGLES, "rlnOpticsGroup", "rlnMicrographName"]]
    tables["particles"] = particles.assign(
        rlnOriginXAngst=0.0, rlnOriginYAngst=0.0, rlnOriginZAngst=0.0
    )
    starfile.write(tables, relion.folder / "angles.star")
    (relion.folder / "sub").mkdir()
    source = [*("--i", relion.particles.true_map.name), *("--ang", "angles.star")]
    noise = ["--add_noise", "--white_noise", "1", "--angpix", "4.5"]
    command = ["relion_project", *source, "--o", "sub/v", "--3d_rot", *noise]
    subprocess.run(command, cwd=relion.folder, check=True, capture_output=True, timeout=60)
    return "sub/v.star"


def one_iteration(relion: Relion, particles: str, output: str, hook: str | None) -> Run:
    options = [
        *("--i", particles, "--ref", relion.particles.reference.name, "--firstiter_cc"),
        *("--ini_high", "30", "--iter", "1", "--pad", "2", "--particle_diameter", "176"),
        *("--flatten_solvent", "--zero_mask", "--norm", "--scale", "--dont_check_norm"),
        *("--oversampling", "0", "--healpix_order", "3", "--sigma_ang", "3", "--sym", "C1"),
        *("--offset_range", "1", "--offset_step", "1", "--random_seed", "1", "--skip_gridding"),
    ]
    return relion.refine(output, *options, hook=hook, mpi=False).succeeded()


def coarse(volume: np.ndarray) -> np.ndarray:
    """Fourier transform up to shell 4, 54 Å: what every filter lets through."""
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*[np.fft.fftfreq(48, 1 / 48)] * 3)))
    return np.fft.fftn(volume)[radius < 4.5]


@pytest.fixture(scope="module")
def hooked(relion: Relion, subtomograms: str) -> Run:
    return one_iteration(relion, subtomograms, "sub_nonuniform/run", "")


def test_the_grey_scale_is_relions(relion: Relion, subtomograms: str, hooked: Run) -> None:
    alone, uniform, nonuniform = (
        run.map("run_it001_class001")
        for run in (
            one_iteration(relion, subtomograms, "sub_alone/run", None),
            one_iteration(relion, subtomograms, "sub_uniform/run", "--method uniform"),
            hooked,
        )
    )
    np.testing.assert_allclose(uniform, alone, atol=1e-4 * alone.max())
    scale = np.vdot(coarse(alone), coarse(nonuniform)).real / np.linalg.norm(coarse(alone)) ** 2
    assert scale == pytest.approx(1.0, abs=0.05)


def test_noise_is_reckoned_as_it_is(
    hooked: Run, noise_ratio: Callable[[Run, str], np.ndarray]
) -> None:
    ratio = noise_ratio(hooked, "run_it001_class001")
    assert ratio[8:-2].mean() == pytest.approx(1.0, abs=0.15)
