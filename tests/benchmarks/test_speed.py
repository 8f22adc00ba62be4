"""The benchmark of speed: what its calls hold, what it measures, and a run from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from plugin_core.padded_grid import PaddedGrid
from plugin_core.simulation.accumulators import accumulate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("grid", [PaddedGrid(16, 2.0, 8), PaddedGrid(15, 2.0, 5)], ids=str)
def test_arrays_written_plane_by_plane_are_those_made_at_once(tmp_path, monkeypatch, grid):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from hook_calls import write_arrays

    volume = np.random.default_rng(0).standard_normal((grid.box,) * 3, dtype=np.float32)
    weight = 3 * np.exp(-np.arange(grid.box // 2 + 1) / 5)
    paths = tmp_path / "real.mrc", tmp_path / "imag.mrc", tmp_path / "weight.mrc"
    write_arrays(volume, grid, weight, paths)
    expected = accumulate(volume, grid, weight[: grid.max_shell + 1], None)
    for path, array in zip(
        paths, (expected.data_real, expected.data_imag, expected.weight), strict=True
    ):
        np.testing.assert_allclose(mrcfile.read(path), array, rtol=0, atol=1e-6 * abs(array).max())


def test_what_a_small_program_takes_is_measured(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(3_000_000))
    out = tmp_path / "took.json"
    command = [sys.executable, "-I", "-S", BENCHMARKS / "measured.py", out, "/bin/cat", big]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, len(done.stdout)) == (0, 3_000_000)
    took = json.loads(out.read_text())
    assert 3_000_000 < took["read_bytes"] < 4_000_000
    assert 1e5 < took["peak_bytes"] < 30e6
    assert 0 <= took["cpu_s"]
    assert took["wall_s"] > 0
    assert subprocess.run([*command[:-2], "/bin/false"], check=False).returncode == 1


def test_a_run(tmp_path):
    command = [sys.executable, BENCHMARKS / "speed.py", "--boxes", "32", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--gpu", "cpu", "--slow_up_to", "0", "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
    )
    assert done.returncode == 0, done.stderr
    rows = {row["command"]: row for row in json.loads((tmp_path / "speed.json").read_text())}
    for name in ("uniform", "nonuniform, split-noise", "nonuniform, cross-half"):
        assert rows[name]["box"] == 32
        assert rows[name]["stages"]["reconstruction"] > 0
        assert (
            f"| 32 | {name} | {rows[name]['wall_s']:.2f} |" in (tmp_path / "speed.md").read_text()
        )
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "box_32").exists()
