"""The risk quarter in a real refinement: quarter-maps from the particles of the last iteration."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import particle_sphere
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import regularize
from relion_external.cli import main
from tests.relion.conftest import PARTICLE_DIAMETER, SIMULATION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

CALLS = ["run_it002_half1_class001", "run_it002_half2_class001"]


@pytest.fixture(scope="module")
def quartered(relion: Relion) -> Run:
    """Two iterations, the second with quarter-maps."""
    options = ("--auto_iter_max", "2")
    return relion.auto_refine("quartered/run", *options, hook="--risk quarter").succeeded()


@pytest.fixture
def copy(quartered: Run, relion: Relion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in a project folder of its own, which is the working directory."""
    shutil.copytree(quartered.folder, tmp_path / quartered.folder.name)
    (tmp_path / "particles.mrcs").symlink_to(relion.particles.images)
    monkeypatch.chdir(tmp_path)
    return tmp_path / quartered.folder.name


def test_both_half_sets_are_split_in_the_second_iteration(quartered: Run) -> None:
    lines = (quartered.folder / "run_external.jsonl").read_text().splitlines()
    risks = sorted((entry["iteration"], entry["risk"]) for entry in map(json.loads, lines))
    assert risks == [(1, "split-noise")] * 2 + [(2, "quarter")] * 2
    for call in CALLS:
        assert "quarter-map 2: 75 particles of quartered/run_it001_data.star" in quartered.log(call)
    assert not list(quartered.folder.glob("*quarter*"))


def test_quarter_maps_are_two_views_of_the_half_map(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RegularizerInput] = []

    def spy(inputs, parameters):  # type: ignore[no-untyped-def]
        given.append(inputs)
        return regularize(inputs, parameters)

    monkeypatch.setattr("relion_external.hook.regularize", spy)
    name = f"{copy.name}/{CALLS[0]}_external_reconstruct.star"
    assert main(["reconstruct", "--risk", "quarter", name]) == 0
    ((first, second), half_map) = (given[0].quarters, given[0].half_map)  # type: ignore[misc]
    sphere = particle_sphere(SIMULATION.box, PARTICLE_DIAMETER, SIMULATION.voxel_size)
    low = slice(1, 8)  # to 27 Å; poses that are one iteration older make little difference there
    together = fourier_shell_correlation((first + second) * sphere, half_map * sphere)
    between = fourier_shell_correlation(first * sphere, second * sphere)
    assert together[low].min() > 0.85
    assert 0.3 < between[low].mean() < together[low].mean()


def test_the_other_half_sets_particles_do_not_matter(copy: Path) -> None:
    name = copy / f"{CALLS[0]}_external_reconstruct.star"
    before = mrcfile.read(name.with_suffix(".mrc"))
    data = copy / "run_it001_data.star"
    lines = data.read_text().splitlines(keepends=True)
    labels = [line.split()[0] for line in lines if line.startswith("_rln")]
    of_particles = labels[labels.index("_rlnImageName") :]
    column = of_particles.index("_rlnRandomSubset")
    kept = [line for line in lines if "@" not in line or line.split()[column] == "1"]
    assert len(kept) == len(lines) - SIMULATION.particles // 2
    data.write_text("".join(kept))
    relative = f"{copy.name}/{name.name}"
    assert main(["reconstruct", "--risk", "quarter", relative]) == 0
    np.testing.assert_array_equal(mrcfile.read(name.with_suffix(".mrc")), before)
