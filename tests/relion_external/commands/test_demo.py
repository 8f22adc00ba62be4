from __future__ import annotations

from pathlib import Path

import mrcfile
import pytest

from relion_external.cli import main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def without_relion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no_programs"))


@pytest.mark.usefixtures("without_relion")
def test_without_relion_half_maps_are_regularised_and_what_is_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--box", "48", "--gpu", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "relion_refine_mpi, relion_reconstruct, mpirun not on the PATH" in printed
    assert "no poses" in printed
    rows = [
        float(line.split()[-1])
        for line in printed.splitlines()
        if line.endswith(tuple("0123456789"))
    ]
    raw, uniform, local = rows
    assert local < uniform < raw
    assert (out / "demo.png").read_bytes().startswith(PNG)
    cutoff = mrcfile.read(next(out.glob("nonuniform/*_cutoff.mrc")))
    assert cutoff[24, 24, 24] > 0


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--particles", "3", "--particles takes 100 or more, not 3"),
        ("--box", "16", "--box takes 32 or more, not 16"),
        ("--box", "65", "--box takes an even number of pixels, not 65"),
        ("--iterations", "0", "--iterations takes 1 or more, not 0"),
    ],
)
def test_impossible_options_are_refused(
    option: str, value: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), option, value]) == 1
    assert complaint in capsys.readouterr().err
    assert not out.exists()
