"""The demonstration with the real RELION, as small as it goes."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_external.cli import main

pytestmark = pytest.mark.relion


def test_both_refinements_run_and_the_table_and_picture_tell_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    words = ["--particles", "120", "--box", "32", "--iterations", "2", "--gpu", "cpu"]
    assert main(["demo", "--out", str(out), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    start, without, with_hook = (
        next(line for line in lines if line.startswith(name))
        for name in ("start ", "RELION  ", "RELION + relion-external  ")
    )
    assert float(start.split()[1]) == pytest.approx(6.0, abs=0.2)
    assert len(without.split()) == 5
    assert len(with_hook.split()) == 7
    assert (out / "demo.png").stat().st_size > 10_000
    # The second run went through the hook, the first did not.
    assert not list(out.glob("without_hook/*external_reconstruct*"))
    for iteration in (1, 2):
        for half in (1, 2):
            stem = f"with_hook/run_it{iteration:03d}_half{half}_class001_external_reconstruct"
            cutoff = mrcfile.read(out / f"{stem}_cutoff.mrc")
            assert cutoff.max() > 0
            assert np.isfinite(mrcfile.read(out / f"{stem}.mrc")).all()
