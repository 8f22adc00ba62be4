"""Reading STAR files, and the sentences about what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_external import star
from relion_external.errors import UserError

TWO_BLOCKS = """
# version 30001

data_general

_rlnName  run.mrc
_rlnSize  64
 

data_table

loop_ 
_rlnIndex #1 
_rlnValue #2 
0 0.5 
1 2.5e-07 
 
"""  # noqa: W291, W293 RELION leaves blanks at the ends of lines


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "a.star"
    path.write_text(TWO_BLOCKS)
    return path


def test_a_list_and_a_loop(path):
    blocks = star.read_blocks(path)
    assert blocks["general"] == {"rlnName": "run.mrc", "rlnSize": 64}
    assert list(blocks["table"]["rlnValue"]) == [0.5, 2.5e-07]


def test_a_missing_file_is_told_with_the_working_directory(tmp_path):
    with pytest.raises(UserError) as error:
        star.read_blocks(Path("missing.star"))
    assert str(error.value) == f"missing.star does not exist (working directory: {Path.cwd()})"


def test_a_folder_is_no_star_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        star.read_blocks(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no data block; expected a STAR file written by RELION"),
        (b"hello\nworld\n", "holds no data block; expected a STAR file written by RELION"),
        (bytes(range(256)), "holds no data block; expected a STAR file written by RELION"),
        (b"data_x\n\nloop_\n_rlnA #1\n_rlnB #2\n1 2\n3 4 5 6\n", "understood as a STAR file: "),
    ],
)
def test_garbage_is_no_star_file(path, content, message):
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        star.read_blocks(path)


def test_a_file_that_has_been_put_right_is_read_anew(path):
    path.write_text(TWO_BLOCKS.replace("0 0.5", "0 0.5 9 9 9 9"))
    with pytest.raises(UserError):
        star.read_blocks(path)
    path.write_text(TWO_BLOCKS.replace("64", "65"))
    assert star.read_blocks(path)["general"]["rlnSize"] == 65


def test_values_of_a_block(path):
    block = star.read_blocks(path)["general"]
    assert star.number(block, "rlnSize", path) == 64
    assert star.number(block, "rlnPixelSize", path, default=0) == 0
    assert star.text(block, "rlnName", path) == "run.mrc"


@pytest.mark.parametrize("read", [star.number, star.text])
def test_a_missing_label_is_named(path, read):
    with pytest.raises(UserError, match=r"a.star lacks _rlnPixelSize, which RELION writes"):
        read({}, "rlnPixelSize", path)


def test_text_is_no_number(path):
    with pytest.raises(UserError, match=r"a.star: _rlnName is 'run.mrc', expected a number"):
        star.number(star.read_blocks(path)["general"], "rlnName", path)
