"""What run.out says of a refinement, and what is noticed while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relion_external.errors import UserError
from relion_external.refine_progress import Progress

LOG = "The following warnings were encountered upon command-line parsing:\n"


class Refinement:
    """RELION's files in a folder, iteration by iteration."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "run"
        self.log = folder / "relion_refine.log"
        self.log.write_text("=== RELION MPI setup ===\n")

    def write(self, stem: str, resolution: float) -> None:
        for kind in ("optimiser", "sampling", "data", "half1_model", "half2_model", "model"):
            text = f"data_model_general\n\n_rlnCurrentResolution {resolution}\n \n"
            (self.root.parent / f"{stem}_{kind}.star").write_text(text)

    def call_hook(self, iteration: int, half: int | None, cutoff: float | None) -> None:
        entry = {"iteration": iteration, "half": half, "cutoff_median_angstrom": cutoff}
        with (self.root.parent / "run_external.jsonl").open("a") as history:
            history.write(json.dumps(entry) + "\n")

    def finish(self, iteration: int, resolution: float, cutoffs: tuple[float | None, ...]) -> None:
        for half, cutoff in enumerate(cutoffs, start=1):
            self.call_hook(iteration, half, cutoff)
        self.write(f"run_it{iteration:03d}", resolution)


@pytest.fixture
def refinement(tmp_path: Path) -> Refinement:
    return Refinement(tmp_path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What has been printed, without the seconds at the end."""
    return [line.rpartition(", ")[0] for line in capsys.readouterr().out.splitlines()]


def test_one_line_an_iteration(refinement: Refinement, capsys: pytest.CaptureFixture[str]) -> None:
    refinement.write("run_it000", 99.0)
    progress = Progress(refinement.root, refinement.log, done=0)
    progress.look()
    assert lines(capsys) == []
    refinement.finish(1, 24.0, (10.0, 12.0))
    refinement.finish(2, 8.25, (7.0, 8.0))
    progress.look()
    progress.look()
    begin = " relion-external: iteration"
    assert lines(capsys) == [
        f"{begin} 1, resolution 24.0 Å, local cutoff median 11.0 Å",
        f"{begin} 2, resolution 8.2 Å, local cutoff median 7.5 Å",
    ]
    refinement.call_hook(3, None, 6.0)
    refinement.write("run", 6.4)
    (refinement.root.parent / "run_class001.mrc").touch()
    progress.finish()
    expected = f"{begin} 3 (the last, joined), resolution 6.4 Å, local cutoff median 6.0 Å"
    assert lines(capsys) == [expected]


def test_the_uniform_method_has_no_cutoffs(
    refinement: Refinement, capsys: pytest.CaptureFixture[str]
) -> None:
    refinement.finish(4, 24.0, (None, None))
    Progress(refinement.root, refinement.log, done=3).look()
    assert lines(capsys) == [" relion-external: iteration 4, resolution 24.0 Å"]


def test_stopping_before_convergence_is_told(
    refinement: Refinement, capsys: pytest.CaptureFixture[str]
) -> None:
    refinement.finish(1, 24.0, (10.0, 12.0))
    Progress(refinement.root, refinement.log, done=0).finish()
    last = capsys.readouterr().out.splitlines()[-1]
    assert "RELION stopped after iteration 1, before the refinement had converged" in last


@pytest.mark.parametrize("earlier_calls", [[], [1]])
def test_a_hook_that_relion_forgot_is_an_error(
    refinement: Refinement, earlier_calls: list[int]
) -> None:
    for iteration in earlier_calls:
        refinement.call_hook(iteration, 1, 10.0)
    refinement.write("run_it002", 24.0)
    progress = Progress(refinement.root, refinement.log, done=1)
    with pytest.raises(UserError, match="RELION did not call the hook in iteration 2; see "):
        progress.look()


def test_an_option_that_relion_only_warns_of_is_an_error(refinement: Refinement) -> None:
    warning = "WARNING: Option --nonsense\tis not a valid RELION argument"
    refinement.log.write_text(f"{LOG}{warning}\n")
    with pytest.raises(UserError, match="relion_refine does not take --nonsense here"):
        Progress(refinement.root, refinement.log, done=0).look()
