"""A job's exit file: exactly one, however the job ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import starfile

from relion_external import job_folder
from relion_external.errors import UserError
from relion_external.job_folder import exit_status, write_output_nodes


def exit_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("RELION_JOB_*")]


def test_success_replaces_what_an_earlier_run_left(tmp_path: Path) -> None:
    for name in (job_folder.FAILURE, job_folder.ABORTED, job_folder.OUTPUT_NODES):
        (tmp_path / name).touch()
    with exit_status(tmp_path):
        assert exit_files(tmp_path) == []
        assert not (tmp_path / job_folder.OUTPUT_NODES).exists()
    assert exit_files(tmp_path) == [job_folder.SUCCESS]


@pytest.mark.parametrize(
    "error", [UserError("no"), KeyError("x"), SystemExit(2), KeyboardInterrupt()]
)
def test_an_error_is_a_failure_and_goes_on(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / job_folder.SUCCESS).touch()
    with pytest.raises(type(error)), exit_status(tmp_path):
        raise error
    assert exit_files(tmp_path) == [job_folder.FAILURE]


def test_termination_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="143"), exit_status(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
    assert exit_files(tmp_path) == [job_folder.FAILURE]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def run_slow_job(folder: Path, *, abort: bool = False) -> None:
    """A job that waits for a minute in a program, unless it is ended."""
    with exit_status(folder):
        if abort:
            (folder / job_folder.ABORT_REQUEST).touch()
        subprocess.run(["sleep", "60"], check=True)


def test_a_request_to_abort_wakes_a_job_that_waits(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=r"aborted, because .*/RELION_JOB_ABORT_NOW asked for it"):
        run_slow_job(tmp_path, abort=True)
    assert exit_files(tmp_path) == [job_folder.ABORTED]
    assert time.monotonic() - start < 30


def test_a_request_made_while_the_job_was_queued_counts(tmp_path: Path) -> None:
    (tmp_path / job_folder.ABORT_REQUEST).touch()
    with pytest.raises(UserError, match="aborted"):
        run_slow_job(tmp_path)
    assert exit_files(tmp_path) == [job_folder.ABORTED]


def test_a_request_that_comes_too_late_is_left_alone(tmp_path: Path) -> None:
    with exit_status(tmp_path):
        pass
    (tmp_path / job_folder.ABORT_REQUEST).touch()
    time.sleep(1.5)
    assert sorted(exit_files(tmp_path)) == [job_folder.ABORT_REQUEST, job_folder.SUCCESS]


def test_the_exit_file_is_written_in_spite_of_many_signals(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from relion_external.job_folder import exit_status\n"
        "with exit_status(Path(sys.argv[1])):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    package = str(Path(job_folder.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": package},
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
    assert exit_files(tmp_path) == [job_folder.FAILURE]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--o .*file/job001 cannot be used as a job's folder: "):
        run_slow_job(tmp_path / "file" / "job001")


def test_output_nodes_have_the_columns_of_all_versions(tmp_path: Path) -> None:
    (tmp_path / "map.mrc").touch()
    nodes = {tmp_path / "map.mrc": job_folder.MAP, tmp_path / "none.mrc": job_folder.MASK}
    write_output_nodes(tmp_path, nodes)
    table = starfile.read(tmp_path / "RELION_OUTPUT_NODES.star", always_dict=True)["output_nodes"]
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == [
        "rlnPipeLineNodeName",
        "rlnPipeLineNodeTypeLabel",
        "rlnPipeLineNodeType",
    ]
    assert table.to_numpy().tolist() == [[str(tmp_path / "map.mrc"), "DensityMap.mrc", 6]]
