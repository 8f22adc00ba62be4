"""A large array read in pieces, and what happens when its file fails in the middle."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_external import accumulated
from relion_external.array_file import ArrayFile
from relion_external.errors import UserError

ARRAY = np.random.default_rng(0).standard_normal((6, 7, 5), dtype=np.float32)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "array.mrc"
    mrcfile.write(path, ARRAY)
    return path


class Failing(io.FileIO):
    """A file that gives a few bytes at a time, and after `good` bytes fails."""

    good: int | None = None
    error: OSError | None = None
    given = 0

    def readinto(self, buffer):
        count = super().readinto(memoryview(buffer)[:7])
        Failing.given += count
        if self.good is not None and Failing.given > self.good:
            if self.error is not None:
                raise self.error
            return 0
        return count


@pytest.fixture
def failing(monkeypatch):
    """Return a function after which files whose name holds `part` fail after so many bytes."""

    def fail(part: str, good: int | None, error: OSError | None) -> None:
        real = Path.open

        def opened(path, mode="r", *arguments, **options):
            if part in path.name and mode == "rb":
                return Failing(path)
            return real(path, mode, *arguments, **options)

        monkeypatch.setattr(Failing, "given", 0)
        monkeypatch.setattr(Failing, "good", good)
        monkeypatch.setattr(Failing, "error", error)
        monkeypatch.setattr(Path, "open", opened)

    return fail


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), slice(None), slice(None)),
        (slice(2, 5), slice(0, 3), slice(0, 2)),
        (slice(4, None), slice(5, 7), slice(1, 4)),
        (slice(3, 3), slice(0, 7), slice(0, 5)),
    ],
)
def test_slices_are_those_of_the_array(path, key):
    found = ArrayFile(path, ARRAY.shape)[key]
    np.testing.assert_array_equal(found, ARRAY[key])
    assert found.dtype == np.float32


def test_reads_that_return_less_than_was_asked_for_are_repeated(path, failing):
    array = ArrayFile(path, ARRAY.shape)
    failing("array", None, None)
    np.testing.assert_array_equal(array[1:4, 2:6, 0:5], ARRAY[1:4, 2:6])


def test_a_file_that_has_become_shorter_is_told(path):
    array = ArrayFile(path, ARRAY.shape)
    os.truncate(path, 1024 + 4 * 100)
    np.testing.assert_array_equal(array[0:2, 0:7, 0:5], ARRAY[:2])
    with pytest.raises(UserError) as error:
        array[2:4, 0:7, 0:5]
    assert str(error.value) == (
        f"{path} ends before its last value: it was cut short, or is still being written"
    )


def test_a_file_that_has_gone_is_told(path):
    array = ArrayFile(path, ARRAY.shape)
    path.unlink()
    with pytest.raises(UserError, match=r"array.mrc cannot be read: No such file or directory"):
        array[0:1, 0:7, 0:5]


def test_a_file_of_another_shape_is_refused(path):
    with pytest.raises(UserError, match=r"has 6 x 7 x 5 values, but the STAR file asks for 6 x 7"):
        ArrayFile(path, (6, 7, 6))


# ---- in a call of the hook ----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", ["nonuniform", "uniform"])
@pytest.mark.parametrize("part", ["weight", "data_real", "data_imag"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "cannot be read: Input/output error"),
        (None, "ends before its last value: it was cut short, or is still being written"),
    ],
    ids=["error", "end"],
)
def test_a_disk_that_fails_in_the_middle(
    project, reconstruct, failing, part, method, threads, error, told
):
    project.previous_iteration()
    star = project.call()
    before = set(project.folder.iterdir())
    failing(f"_{part}.mrc", 30_000, error)
    answered = reconstruct(star, "--method", method, "--j", threads)
    assert (answered.status, answered.stdout) == (1, "")
    path = star.with_name(f"{star.stem}_{part}.mrc")
    assert answered.stderr == f"relion-external: error: {path} {told}\n"
    assert set(project.folder.iterdir()) - before == {star.with_suffix(".log")}


def test_data_that_are_cut_short_after_the_weights_were_read(project, reconstruct, monkeypatch):
    project.previous_iteration()
    star = project.call()
    real, path = accumulated.radial_weights, star.with_name(f"{star.stem}_data_imag.mrc")

    def radial_weights(*arguments):
        os.truncate(path, 40_000)
        return real(*arguments)

    monkeypatch.setattr(accumulated, "radial_weights", radial_weights)
    answered = reconstruct(star)
    assert answered.status == 1
    assert f"{path} ends before its last value" in answered.stderr
    assert not answered.result.exists()
