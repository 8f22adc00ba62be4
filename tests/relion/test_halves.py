"""The risk cross-half: where the other half-map comes from, and when there is none to be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion

CROSS_HALF = "--risk cross-half"
CALLS = ["run_it001_half1_class001", "run_it001_half2_class001"]


@pytest.fixture(scope="module")
def masked(relion: Relion) -> Run:
    """One iteration in which RELION corrects the FSC for the solvent."""
    options = ("--solvent_mask", "mask.mrc", "--solvent_correct_fsc", "--auto_iter_max", "1")
    return relion.auto_refine("masked/run", *options, hook=CROSS_HALF).succeeded()


def test_partner_is_the_unfiltered_map_where_relion_wrote_it(masked: Run) -> None:
    assert masked.calls() == CALLS
    for half, call in enumerate(CALLS, start=1):
        assert f"other half-map: masked/run_it001_half{3 - half}_class001_unfil.mrc" in (
            masked.log(call)
        )


def test_unfiltered_map_and_the_other_halfs_arrays_are_worth_the_same(
    masked: Run, tmp_path: Path
) -> None:
    for call in CALLS:
        options = ("--risk", "cross-half")
        found = masked.answer_again(call, tmp_path / call, *options, without="*_unfil.mrc")
        expected = masked.result(call)
        np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())


def test_next_reference_is_the_answer_within_the_users_mask(masked: Run, relion: Relion) -> None:
    mask = mrcfile.read(relion.folder / "mask.mrc")
    for call in CALLS:
        expected = masked.result(call) * mask
        np.testing.assert_allclose(masked.map(call), expected, atol=1e-6 * expected.max())


def test_without_unfiltered_maps_both_halves_find_each_others_arrays(relion: Relion) -> None:
    run = relion.auto_refine("found/run", "--auto_iter_max", "1", hook=CROSS_HALF).succeeded()
    for half, call in enumerate(CALLS, start=1):
        assert f"other half-map: from found/{CALLS[2 - half]}_external_reconstruct.star" in (
            run.log(call)
        )
    assert np.abs(run.result(CALLS[0])).max() > 0


def test_one_half_after_the_other_needs_no_partner(relion: Relion) -> None:
    options = ("--sequential_halves_recons", "--auto_iter_max", "1")
    run = relion.auto_refine("sequential/run", *options).succeeded()
    lines = (run.folder / "run_external.jsonl").read_text().splitlines()
    assert [json.loads(line)["half"] for line in lines] == [1, 2]


def test_waiting_for_a_half_that_cannot_come_is_refused(relion: Relion) -> None:
    options = ("--sequential_halves_recons", "--auto_iter_max", "1")
    run = relion.auto_refine("deadlock/run", *options, hook=CROSS_HALF)
    assert run.status != 0
    assert "the risk cross-half needs both half-maps, but with --sequential" in run.stderr
    assert run.calls() == CALLS[:1]
    assert "waiting" not in run.log(CALLS[0])
    assert not (run.folder / f"{CALLS[0]}_external_reconstruct.mrc").exists()
