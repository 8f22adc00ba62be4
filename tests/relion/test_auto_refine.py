"""An auto-refinement with the hook, from the first iteration through the joined last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Run

pytestmark = pytest.mark.relion


def relions_sphere() -> np.ndarray:
    """What RELION multiplies references with: 176 Å wide, then an edge of five voxels."""
    axis = np.arange(48) - 24
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 176 / 2 / 4.5) / 5, 0, 1))


@pytest.fixture(scope="module")
def joined(refined: Run) -> str:
    (call,) = (call for call in refined.calls() if "half" not in call)
    return call


def test_every_half_of_every_iteration_is_answered(refined: Run, joined: str) -> None:
    last = int(joined[len("run_it") :][:3])
    halves = [f"run_it{i:03d}_half{h}_class001" for i in range(1, last) for h in (1, 2)]
    assert refined.calls() == sorted([*halves, joined])
    assert last >= 3
    for call in refined.calls():
        assert (refined.folder / f"{call}_external_reconstruct.mrc").exists()


def test_one_line_a_call_in_the_history_and_in_run_out(refined: Run, joined: str) -> None:
    lines = (refined.folder / "run_external.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    answered = [(entry["iteration"], entry["half"]) for entry in entries]
    halves = [(i, h) for i in range(1, entries[-1]["iteration"]) for h in (1, 2)]
    assert sorted(answered[:-1]) == halves
    assert answered[-1] == (len(halves) // 2 + 1, None)
    assert [entry["map"] for entry in entries] == ["half-set"] * len(halves) + ["joined"]
    assert refined.stdout.count(" relion-external: iteration ") == len(entries)
    assert "relion-external" not in refined.stderr


def test_every_call_leaves_its_log_and_its_cutoff_map(refined: Run) -> None:
    outside = relions_sphere() == 0
    for call in refined.calls():
        log = refined.log(call)
        assert "risk: split-noise" in log
        assert "Traceback" not in log
        with mrcfile.open(refined.folder / f"{call}_external_reconstruct_cutoff.mrc") as mrc:
            assert mrc.voxel_size.x == pytest.approx(4.5)
            inside = mrc.data[mrc.data > 0]
            assert not mrc.data[outside].any()
        assert 9.0 <= inside.min() < inside.max() <= 40.0 + 1e-3


def test_next_reference_is_the_answer_within_relions_sphere(refined: Run, joined: str) -> None:
    for call in refined.calls():
        if call != joined:
            expected = refined.result(call) * relions_sphere()
            np.testing.assert_allclose(refined.map(call), expected, atol=1e-6 * expected.max())


def test_final_map_is_relions_own_wiener_map(refined: Run, joined: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(refined.map("run_class001"), refined.result(joined))
    uniform = refined.answer_again(joined, tmp_path, "--method", "uniform")
    np.testing.assert_array_equal(uniform, refined.result(joined))


def test_the_filtered_map_beside_it_is_closer_to_the_truth(
    refined: Run, joined: str, truth: np.ndarray
) -> None:
    filtered = refined.map(f"{joined}_external_reconstruct_nonuniform")
    uniform = refined.result(joined)
    correlation = [np.corrcoef(each.ravel(), truth.ravel())[0, 1] for each in (filtered, uniform)]
    assert correlation[0] > correlation[1] + 0.01
