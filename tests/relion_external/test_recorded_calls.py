"""Calls that RELION made, answered through the command line and compared with RELION's own answer.

Small ones are in tests/data; larger ones, of RELION 3.1.3 and 5.0.1, may lie beside the repository.
"""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

HERE = Path(__file__).parents[1] / "data" / "relion_calls"
BESIDE = Path(__file__).parents[3] / "shared" / "data" / "relion_calls"

OPTIONS = {
    "default": ["--minres_map", "-1", "--gridding"],
    "no_map": ["--minres_map", "1000", "--gridding"],
    "skip_gridding": ["--minres_map", "-1"],
    "skip_gridding_no_map": ["--minres_map", "1000"],
}
"""What each of relion_external_reconstruct's options is called here; no shell is beyond 1000."""

CALLS = {
    HERE: ["Refine3D/run_it002_half1_class001", "Class3D/run_it002_class001"],
    BESIDE / "3.1.3": [
        "Refine3D/run_it002_half1_class001",
        "Refine3D/run_it002_half2_class001",
        "Refine3D/run_ct2_it003_class001",
        "Class3D/run_it002_class001",
    ],
    BESIDE / "5.0.1": [
        "Refine3D/run_it002_half1_class001",
        "Refine3D/run_it002_half2_class001",
        "Class3D/run_it002_class002",
    ],
}

ON_DEVICES = pytest.mark.parametrize("gpu", ["cpu", pytest.param("0", marks=pytest.mark.gpu)])


@ON_DEVICES
@pytest.mark.parametrize(
    ("source", "call"),
    [
        pytest.param(source, call, id=f"{source.name}-{call}")
        for source, calls in CALLS.items()
        for call in calls
    ],
)
def test_the_uniform_map_is_relions(unpacked, reconstruct, source, call, gpu):
    star = unpacked(source, call)
    compared = 0
    for name, options in OPTIONS.items():
        expected_path = Path(f"{call}_expected_{name}.mrc")
        if not expected_path.exists():
            continue
        expected = mrcfile.read(expected_path)
        # The joined call's model.star was not recorded, so its voxel size is given.
        answered = reconstruct(star, "--method", "uniform", "--gpu", gpu, "--angpix", 2.5, *options)
        assert answered.status == 0
        assert abs(answered.map() - expected).max() < 1e-6 * abs(expected).max()
        compared += 1
    assert compared >= 3


@ON_DEVICES
@pytest.mark.parametrize(
    ("call", "risk"),
    [
        ("Refine3D/run_it002_half1_class001", "split-noise"),
        ("Refine3D/run_it002_half1_class001", "cross-half"),
        ("Class3D/run_it002_class001", "split-noise"),
    ],
)
def test_relions_own_files_suffice_for_the_nonuniform_map(unpacked, succeed, call, risk, gpu):
    """RELION 3.1 tells voxel size and diameter in the previous iteration's files only."""
    star = unpacked(HERE, call)
    if risk == "cross-half":
        unpacked(HERE, "Refine3D/run_it002_half2_class001").touch()  # newer than iteration 1
    answered = succeed(star, "--risk", risk, "--gpu", gpu)
    raw = mrcfile.read(f"{call}_expected_skip_gridding_no_map.mrc")
    volume = answered.map()
    assert 0.5 < volume.std() / raw.std() < 1.1
    assert np.corrcoef(volume.ravel(), raw.ravel())[0, 1] > 0.7
    with mrcfile.open(answered.result) as mrc:
        assert mrc.voxel_size.x == 7
    cutoff = answered.map("_cutoff")
    assert (cutoff > 0).sum() > 500
    assert 14 <= cutoff[cutoff > 0].min() <= cutoff.max() <= 112
