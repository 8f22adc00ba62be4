"""The quick reader of STAR files against the starfile package, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relion_external import star
from relion_external.errors import UserError
from relion_external.plain_star import read_plain

FILE = """# RELION optimiser; version 3.1.3
# --o 'Refine3D/job 001/run' --auto_refine

# version 30001

data_general

_rlnName  run.mrc
_rlnLongName "with blanks/run it's.mrc"
_rlnOther    'one word #2'
_rlnSize  64
_rlnEmpty ""
 

data_table

loop_ 
_rlnIndex #1 
_rlnValue #2 
_rlnWhere #3
0 0.5 "a b"
1 2.5e-07 c # here
 

data_single

loop_
_rlnImageName
000001@a'b.mrcs
000002@a'b.mrcs
"""  # noqa: W291, W293 RELION leaves blanks at the ends of lines


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "a.star"
    path.write_text(FILE)
    return path


def test_a_list_and_loops(path):
    assert read_plain(path) == {
        "general": {
            "rlnName": "run.mrc",
            "rlnLongName": "with blanks/run it's.mrc",
            "rlnOther": "one word #2",
            "rlnSize": "64",
            "rlnEmpty": "",
        },
        "table": {
            "rlnIndex": ["0", "1"],
            "rlnValue": ["0.5", "2.5e-07"],
            "rlnWhere": ["a b", "c"],
        },
        "single": {"rlnImageName": ["000001@a'b.mrcs", "000002@a'b.mrcs"]},
    }


def test_the_first_block_only(path):
    path.write_text(FILE.replace("2.5e-07 c", "ragged"))
    assert list(read_plain(path, first_only=True)) == ["general"]


@pytest.mark.parametrize(
    "call", sorted((Path(__file__).parents[1] / "data/relion_calls").rglob("*.star")), ids=str
)
def test_relions_own_files_are_read_as_by_the_starfile_package(call):
    expected, found = star.read_blocks(call), read_plain(call)
    assert list(found) == list(expected)
    for name, block in expected.items():
        assert list(found[name]) == list(block)
        for label in block:
            theirs, ours = np.atleast_1d(block[label]), np.atleast_1d(found[name][label])
            if theirs.dtype.kind in "if":
                ours = ours.astype(theirs.dtype)
            np.testing.assert_array_equal(ours, theirs)


def test_a_missing_file_is_told_with_the_working_directory():
    with pytest.raises(UserError) as error:
        read_plain(Path("missing.star"))
    assert str(error.value) == f"missing.star does not exist (working directory: {Path.cwd()})"


def test_a_folder_is_no_star_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_plain(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no data block; expected a STAR file written by RELION"),
        (b"hello\nworld\n", "holds no data block; expected a STAR file written by RELION"),
        (bytes(range(256)), "holds no data block; expected a STAR file written by RELION"),
        (
            b"data_x\n\nloop_\n_rlnA #1\n_rlnB #2\n1 2\n3 4 5 6\n",
            "understood as a STAR file: line 7 holds 4 values, expected 2, one for each label",
        ),
        (b"data_x\n\n1 2\n", "line 3 holds 2 values, expected a label"),
    ],
)
def test_garbage_is_no_star_file(path, content, message):
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_plain(path)


def test_the_hook_does_without_pandas():
    code = "import sys, relion_external.hook; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
