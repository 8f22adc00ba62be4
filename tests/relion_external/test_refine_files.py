"""Which of RELION's iterations are on disk, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_external import refine_files, star

KINDS = ("optimiser", "sampling", "data", "half1_model", "half2_model")
# The end of a table as RELION 3.1.3 and 5.0.1 write it.
WHOLE = "# RELION; version 5.0.1\n# --o run --i 'a b.star'\n\ndata_x\n\n_rlnX   1 \n \n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for iteration in range(4):
        for kind in KINDS:
            (tmp_path / f"run_it{iteration:03d}_{kind}.star").write_text(WHOLE)
    return tmp_path / "run"


def test_iterations_in_a_row(root: Path) -> None:
    assert list(refine_files.whole_iterations(root)) == [0, 1, 2, 3]
    assert list(refine_files.whole_iterations(root, 3)) == [3]
    assert list(refine_files.whole_iterations(root, 4)) == []
    assert refine_files.last_whole_iteration(root) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [None, "", WHOLE[:-1], WHOLE[:-2], WHOLE[:-4]])
def test_an_iteration_that_lacks_anything_is_not_whole(
    root: Path, kind: str, text: str | None
) -> None:
    path = refine_files.iteration_file(root, 3, kind)
    path.unlink() if text is None else path.write_text(text)
    assert not refine_files.is_whole(root, 3)
    assert refine_files.last_whole_iteration(root) == 2


def test_other_runs_in_the_folder_do_not_count(root: Path) -> None:
    assert refine_files.last_whole_iteration(root.with_name("run_ct2")) is None
    assert refine_files.last_whole_iteration(root.with_name("ru")) is None


def test_the_command_line_is_the_second_comment(root: Path, tmp_path: Path) -> None:
    assert star.command_line(tmp_path / "run_it001_optimiser.star") == "--o run --i 'a b.star'"
    assert star.command_line(tmp_path / "none.star") == ""
    (tmp_path / "plain.star").write_text("data_x\n")
    assert star.command_line(tmp_path / "plain.star") == ""
