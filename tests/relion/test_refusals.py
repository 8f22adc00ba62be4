"""What the hook cannot do: RELION stops, says why in one sentence of ours, and takes no old map."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.relion.conftest import Relion

pytestmark = pytest.mark.relion

CALLS = [f"run_it001_half{half}_class001" for half in (1, 2)]


def test_an_error_stops_relion(relion: Relion) -> None:
    folder = relion.folder / "missing_mask"
    folder.mkdir()
    for call in CALLS:
        shutil.copy(relion.folder / "reference.mrc", folder / f"{call}_external_reconstruct.mrc")
    run = relion.auto_refine("missing_mask/run", "--auto_iter_max", "1", hook="--mask nowhere.mrc")
    assert run.status != 0
    assert "relion-external: error: nowhere.mrc does not exist" in run.stderr
    assert "there was something wrong with system call" in run.stderr
    assert "Traceback" not in run.stderr
    # RELION stops at the first error, and may end the other half's hook before it has begun.
    failed = [
        log.with_suffix(".mrc")
        for log in run.folder.glob("*_external_reconstruct.log")
        if " ERROR nowhere.mrc does not exist" in log.read_text()
    ]
    assert failed
    assert not [old for old in failed if old.exists()]


def test_a_wrong_option_stops_relion(relion: Relion) -> None:
    run = relion.auto_refine("wrong_option/run", "--auto_iter_max", "1", hook="--risk none")
    assert run.status != 0
    assert "argument --risk: invalid choice: 'none'" in run.stderr
    assert not list(run.folder.glob("*_reconstruct.mrc*"))


def test_gradient_descent_is_refused(relion: Relion) -> None:
    sgd = ("--sgd", "--sgd_ini_iter", "1", "--sgd_inbetween_iter", "0", "--sgd_fin_iter", "0")
    run = relion.class3d("gradient/run", "--K", "1", *sgd)
    assert run.status != 0
    assert "refines by gradient descent" in run.stderr
    assert not list(run.folder.glob("*_reconstruct.mrc*"))
