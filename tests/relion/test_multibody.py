"""One multi-body iteration: the bodies' calls, and the frame that RELION expects its maps in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from scipy.ndimage import center_of_mass

from relion_external.volumes import write_map

if TYPE_CHECKING:
    from tests.relion.conftest import Relion, Run

pytestmark = pytest.mark.relion


@pytest.fixture(scope="module")
def bodies(relion: Relion, refined: Run) -> Run:
    mask = mrcfile.read(relion.folder / "mask.mrc")
    upper = np.clip((np.arange(48) - 21) / 6, 0, 1).astype(np.float32)[:, None, None]
    for number, half in enumerate((upper, 1 - upper), start=1):
        write_map(relion.folder / f"body{number}.mrc", mask * half, 4.5, "body mask")
    table = pd.DataFrame(
        {
            "rlnBodyMaskName": ["body1.mrc", "body2.mrc"],
            "rlnBodyRotateRelativeTo": [2, 1],
            "rlnBodySigmaAngles": 5.0,
            "rlnBodySigmaOffset": 2.0,
        }
    )
    starfile.write(table, relion.folder / "bodies.star")
    last = max(call for call in refined.calls() if "half" in call)[: len("run_it000")]
    options = [
        *("--continue", f"refined/{last}_optimiser.star", "--multibody_masks", "bodies.star"),
        *("--solvent_correct_fsc", "--auto_iter_max", "1", "--pad", "1", "--skip_gridding"),
        *("--oversampling", "1", "--healpix_order", "4", "--auto_local_healpix_order", "4"),
        *("--offset_range", "3", "--offset_step", "2", "--pool", "10", "--j", "1"),
        "--dont_combine_weights_via_disc",
    ]
    return relion.refine("bodies/run", *options).succeeded()


def test_every_half_of_every_body_is_answered(bodies: Run) -> None:
    assert bodies.calls() == [f"run_it001_half{h}_body{b:03d}" for h in (1, 2) for b in (1, 2)]


def test_relion_moves_the_answer_from_the_body_to_its_place(bodies: Run, truth: np.ndarray) -> None:
    for call in bodies.calls():
        mask = bodies.map(f"run_{call[-7:]}_mask")
        shift = np.rint(np.array(center_of_mass(mask)) - 24).astype(int)
        assert abs(shift).max() >= 3
        inside = mask > 0.5
        moved = np.roll(bodies.result(call), shift, axis=(0, 1, 2))[inside]
        reference = bodies.map(call)[inside]
        np.testing.assert_allclose(reference, moved, atol=1e-6 * moved.max())
        assert np.corrcoef(reference, truth[inside])[0, 1] > 0.7
