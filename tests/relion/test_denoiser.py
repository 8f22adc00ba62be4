"""The denoiser in real runs of RELION, with a small network of random weights.

It knows nothing of proteins, so these tests are about what RELION makes of the answers; whether a
trained network helps is measured in benchmarks/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.network import DenoisingNetwork

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

HALVES = [f"run_it{i:03d}_half{h}_class001" for i in (1, 2) for h in (1, 2)]


@pytest.fixture(scope="module")
def hook(relion: Relion) -> str:
    """Options of the hook with the denoiser."""
    torch.manual_seed(1)
    state = DenoisingNetwork(1).state_dict()
    path = relion.folder / "random.pt"
    torch.save({"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, path)
    return f"--method denoiser --weights {path} --stride 44"


@pytest.fixture(scope="module")
def denoised(relion: Relion, hook: str) -> Run:
    """Two iterations of an auto-refinement."""
    return relion.auto_refine("denoised/run", "--auto_iter_max", "2", hook=hook).succeeded()


def history(run: Run) -> list[dict]:
    lines = (run.folder / "run_external.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def sphere() -> np.ndarray:
    """What RELION multiplies references with: 176 Å wide, then an edge of five voxels."""
    axis = np.arange(48) - 24
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 176 / 2 / 4.5) / 5, 0, 1))


def test_both_halves_are_denoised_and_become_the_next_references(denoised: Run) -> None:
    assert denoised.calls() == HALVES
    for call in HALVES:
        assert "method: denoiser" in denoised.log(call)
        assert not list(denoised.folder.glob(f"{call}_external_reconstruct_cutoff.mrc"))
        expected = denoised.result(call) * sphere()
        np.testing.assert_allclose(denoised.map(call), expected, atol=1e-6 * expected.max())
    assert [entry["weights"] for entry in history(denoised)] == ["random.pt"] * 4
    assert denoised.stdout.count("denoiser (random.pt) on ") == 4


def test_the_references_end_two_shells_before_the_evidence(denoised: Run) -> None:
    for call, entry in zip(HALVES, sorted(history(denoised), key=_order), strict=True):
        last = round(48 * 4.5 / entry["fsc_0143_angstrom"])
        cut = round(48 * 4.5 / entry["trailing_angstrom"])
        assert cut == last - 2
        power = np.abs(np.fft.fftn(denoised.result(call))) ** 2
        axis = np.fft.fftfreq(48, 1 / 48)
        radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
        assert power[radius > cut + 1.5].sum() < 1e-9 * power.sum()


def _order(entry: dict) -> tuple[int, int]:
    return entry["iteration"], entry["half"]


def test_the_last_map_is_relions_own(refined: Run, hook: str, tmp_path: Path) -> None:
    (joined,) = (call for call in refined.calls() if "half" not in call)
    answered = refined.answer_again(joined, tmp_path, *hook.split())
    np.testing.assert_array_equal(answered, refined.result(joined))
    beside = tmp_path / refined.folder.name / f"{joined}_external_reconstruct_denoised.mrc"
    assert beside.exists()


def test_classes_are_denoised(relion: Relion, hook: str) -> None:
    run = relion.class3d("denoised_classes/run", "--iter", "2", hook=hook).succeeded()
    assert len(run.calls()) == 4
    assert {entry["map"] for entry in history(run)} == {"classification"}
    for k in (1, 2):
        assert np.isfinite(run.map(f"run_it002_class{k:03d}")).all()
    resolution = float(run.model("run_it002")["rlnCurrentResolution"])
    assert 14 < resolution < 33


def test_missing_weights_end_the_run_with_a_sentence(relion: Relion) -> None:
    hook = "--method denoiser --weights gone.pt"
    run = relion.auto_refine("gone/run", "--auto_iter_max", "1", hook=hook)
    assert run.status != 0
    assert "--weights names gone.pt, which is not a file" in run.stderr
