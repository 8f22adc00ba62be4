"""What a call is about: RELION's names, its STAR file, and the previous iteration's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_external.errors import UserError
from relion_external.iteration import (
    CLASSIFICATION,
    HALF,
    JOINED,
    parse_name,
    read_call,
    read_previous,
    resolve_particle_diameter,
    resolve_voxel_size,
)


@pytest.mark.parametrize(
    ("path", "root", "iteration", "half", "kind", "number"),
    [
        ("Refine3D/job001/run_it003_half1_class001", "run", 3, 1, "class", 1),
        ("run_it012_half2_class001", "run", 12, 2, "class", 1),
        ("Refine3D/job001/run_it017_class001", "run", 17, None, "class", 1),
        ("Class3D/job002/run_it025_class004", "run", 25, None, "class", 4),
        ("MultiBody/job010/run_it002_half2_body013", "run", 2, 2, "body", 13),
        ("MultiBody/job010/run_it009_body002", "run", 9, None, "body", 2),
        ("Refine3D/job003/run_ct5_it006_half1_class001", "run_ct5", 6, 1, "class", 1),
        ("Refine3D/half1_data_real/run_it001_half2_class001", "run", 1, 2, "class", 1),
        ("odd_it002_half1_class001/run_it1234_class001", "run", 1234, None, "class", 1),
        ("my_it005_half2_run_it006_half1_class001", "my_it005_half2_run", 6, 1, "class", 1),
    ],
)
def test_relions_names(path, root, iteration, half, kind, number):
    name = parse_name(Path(f"{path}_external_reconstruct.star"))
    assert name.root == Path(path).parent / root
    assert (name.iteration, name.half, name.kind, name.number) == (iteration, half, kind, number)


@pytest.mark.parametrize(
    "name",
    [
        "run_it003_half1_class001_external_reconstruct.mrc",
        "run_it003_half1_class001.star",
        "run_it03_half1_class001_external_reconstruct.star",
        "run_it003_half3_class001_external_reconstruct.star",
        "run_it003_half1_class01_external_reconstruct.star",
        "run_half1_class001_external_reconstruct.star",
        "_it003_half1_class001_external_reconstruct.star",
        "run_it003_half1_class001_external_reconstruct.star.bak",
    ],
)
def test_names_that_relion_does_not_give(name):
    with pytest.raises(UserError, match="is not named as RELION names a hook call; expected"):
        parse_name(Path("half1_class001_external_reconstruct.star") / name)


def test_names_derived_from_a_call():
    name = parse_name(Path("a/run_ct5_it1000_half2_body003_external_reconstruct.star"))
    assert name.of_half(1) == Path("a/run_ct5_it1000_half1_body003_external_reconstruct.star")
    assert name.previous("optimiser.star") == Path("a/run_ct5_it999_optimiser.star")
    assert str(name) == "iteration 1000 half 2 body 3"
    assert str(parse_name(Path("run_it004_class002_external_reconstruct.star"))) == (
        "iteration 4 class 2"
    )


def test_a_call_is_read_as_it_was_written(project):
    path = project.call("run_it003_half2_class001")
    call = read_call(path)
    root = project.folder / "run_it003_half2_class001_external_reconstruct"
    assert call.data_real == Path(f"{root}_data_real.mrc")
    assert call.data_imag == Path(f"{root}_data_imag.mrc")
    assert call.weight == Path(f"{root}_weight.mrc")
    assert call.result == Path(f"{root}.mrc")
    assert call.result_star == Path(f"{root}_out.star")
    assert (call.box, call.max_shell, call.padding, call.tau2_fudge) == (16, 7, 2, 1)
    assert (call.voxel_size, call.particle_diameter) == (4, 40)
    np.testing.assert_allclose(call.tau2, 1e-2 * np.exp(-np.arange(9.0)), rtol=1e-6)
    assert call.fsc.shape == (9,)


@pytest.mark.parametrize(
    ("name", "fsc", "mode"),
    [
        ("run_it003_half1_class001", np.linspace(1, 0, 9), HALF),
        ("run_it003_half1_class001", np.zeros(9), HALF),
        ("run_it003_class001", np.linspace(1, 0, 9), JOINED),
        ("run_it003_class001", np.zeros(9), CLASSIFICATION),
        ("run_it003_half2_body002", np.linspace(1, 0, 9), HALF),
        ("run_it003_body002", np.linspace(1, 0, 9), JOINED),
    ],
)
def test_what_kind_of_map_a_call_is_about(project, name, fsc, mode):
    assert read_call(project.call(name, fsc=fsc)).mode == mode


def test_the_star_file_of_relion_3_1_tells_neither_voxel_size_nor_diameter(project):
    path = project.call(voxel_size=None, particle_diameter=None)
    call = read_call(path)
    assert (call.voxel_size, call.particle_diameter) == (None, None)
    project.previous_iteration()
    previous = read_previous(call.name)
    assert resolve_voxel_size(call, previous, None) == 4
    assert resolve_particle_diameter(call, previous, None) == 40


def test_options_come_before_the_star_file_and_that_before_the_previous_iteration(project):
    project.previous_iteration()
    call = read_call(project.call(voxel_size=3.0, particle_diameter=30.0))
    previous = read_previous(call.name)
    assert resolve_voxel_size(call, previous, None) == 3
    assert resolve_voxel_size(call, previous, 2.5) == 2.5
    assert resolve_particle_diameter(call, previous, None) == 30
    assert resolve_particle_diameter(call, previous, 25.0) == 25


def test_a_size_of_zero_counts_as_unknown(project):
    project.previous_iteration()
    call = read_call(project.call(voxel_size=0.0, particle_diameter=0.0))
    previous = read_previous(call.name)
    assert resolve_voxel_size(call, previous, None) == 4
    assert resolve_particle_diameter(call, previous, None) == 40


@pytest.mark.parametrize(
    ("call", "model"),
    [
        ("run_it003_half1_class001", "half1_model"),
        ("run_it003_half2_class001", "half2_model"),
        ("run_it003_class001", "half1_model"),  # the joined map after half-sets
        ("run_it003_class002", "model"),  # a classification
        ("run_it003_half1_class001", "model"),
    ],
)
def test_the_previous_iteration(project, call, model):
    project.previous_iteration(model=model, command_line="--o run --auto_refine --pad 1")
    previous = read_previous(parse_name(project.call(call)))
    assert previous.model_path == project.folder / f"run_it002_{model}.star"
    assert float(previous.optimiser["rlnParticleDiameter"]) == 40
    assert float(previous.model["rlnPixelSize"]) == 4
    assert previous.data_dimension == 2
    assert "--o run --auto_refine --pad 1" in previous.command_line
    assert not previous.is_gradient


def test_no_previous_iteration(project):
    previous = read_previous(parse_name(project.call()))
    assert (previous.optimiser, previous.model, previous.command_line) == ({}, {}, "")
    assert previous.data_dimension == 2
    assert not previous.is_gradient


@pytest.mark.parametrize("label", ["rlnDoGradientRefine", "rlnDoStochasticGradientDescent"])
@pytest.mark.parametrize("value", [0, 1])
def test_gradient_refinement_is_recognised(project, label, value):
    project.previous_iteration(optimiser=f"_{label} {value}\n")
    assert read_previous(parse_name(project.call())).is_gradient == bool(value)
