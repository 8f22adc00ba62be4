"""The protocol of RELION 5's --blush, spoken by the executable that install-blush-shim makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

from relion_external import blush
from relion_external.cli import main
from relion_external.commands import install_blush_shim
from relion_external.errors import UserError

if TYPE_CHECKING:
    from tests.relion_external.conftest import Answered, Project

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "relion_calls" / "5.0.1"
NOT_NAMED = {"PYTHONPATH", blush.OWN_OPTIONS}  # what the shim must do without


@pytest.fixture
def shim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    assert main(["install-blush-shim", str(folder)]) == 0
    assert f"export PATH='{folder}'" in capsys.readouterr().out
    return folder / "relion_python_blush"


def call(shim: Path, arguments: str, own: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the shim as RELION does, by its name and through a shell."""
    environment = {key: value for key, value in os.environ.items() if key not in NOT_NAMED}
    environment["PATH"] = f"{shim.parent}:{environment['PATH']}"
    if own is not None:
        environment[blush.OWN_OPTIONS] = own
    command = f"relion_python_blush {arguments}"
    return subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, timeout=120
    )


def test_success_is_the_only_word_on_stdout_and_the_map_is_the_hooks(
    shim: Path, project: Project, succeed: Callable[..., Answered]
) -> None:
    star = project.call()
    project.previous_iteration()
    expected = succeed(star).map()
    star.with_suffix(".mrc").unlink()
    # 5.0.1, without GPUs and without RELION_BLUSH_ARGS.
    done = call(shim, f"{star}  --gpu -1 ")
    assert (done.stdout, done.returncode) == ("success\n", 0)
    assert "relion-external: iteration 3 half 1 class 1" in done.stderr
    np.testing.assert_array_equal(mrcfile.read(star.with_suffix(".mrc")), expected)


def test_options_of_blush_are_taken_over_or_tolerated(shim: Path, project: Project) -> None:
    star = project.call()
    project.previous_iteration()
    blush_options = "-m v1.0 -s 20 --batch_size 2 --device_timeout=60 --debug"
    done = call(shim, f"{star} {blush_options} --skip-spectral-trailing  --gpu -1 ")
    assert (done.stdout, done.returncode) == ("success\n", 0)
    assert "not an option of Blush" not in done.stderr
    log = star.with_suffix(".log").read_text()
    assert "skip_spectral_trailing=True" in log
    assert "spectral trailing is off" in log


def test_unknown_options_are_told_and_do_no_harm(shim: Path, project: Project) -> None:
    star = project.call()
    project.previous_iteration()
    done = call(shim, f"{star} --new-thing 3 -x --gpu -1 ")
    assert (done.stdout, done.returncode) == ("success\n", 0)
    assert "warning: not an option of Blush, ignored: --new-thing 3 -x" in done.stderr


def test_own_options_have_the_last_word(shim: Path, project: Project) -> None:
    star = project.call()
    project.previous_iteration()
    done = call(shim, f"{star} --gpu 0, ", own="--gpu cpu --levels 7 --mask 'no mask.mrc'")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.splitlines()[-1].startswith("relion-external: error: no mask.mrc does not")
    done = call(shim, f"{star} --gpu 0, ", own="--gpu cpu --levels 7")
    assert (done.stdout, done.returncode) == ("success\n", 0)
    assert "levels=7" in star.with_suffix(".log").read_text()


@pytest.mark.parametrize(
    ("arguments", "own", "sentence"),
    [
        ("Refine3D/job001/none_it001_half1_class001_external_reconstruct.star", None, "does not"),
        ("no star", None, "no STAR file was given to the Blush shim, but: no star"),
        ("run_it001_class001_external_reconstruct.star", "--awff 3", "the closest is --awf"),
        ("run_it001_class001_external_reconstruct.star", "'", f"{blush.OWN_OPTIONS} is not a list"),
    ],
)
def test_failure_is_silent_on_stdout_and_told_on_stderr(
    shim: Path, project: Project, arguments: str, own: str | None, sentence: str
) -> None:
    done = call(shim, f"{arguments} --gpu -1 ", own)
    assert done.stdout == ""
    assert done.returncode != 0
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_relions_installation_calls_it_without_arguments(shim: Path, project: Project) -> None:
    done = call(shim, "")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    "name",
    [
        "Refine3D/run_it002_half1_class001",
        "Refine3D/run_it002_half2_class001",
        "Class3D/run_it002_class002",
    ],
)
def test_calls_that_relion_5_made(
    shim: Path, unpacked: Callable[[Path, str], Path], name: str
) -> None:
    star = unpacked(RECORDED, name)
    done = call(shim, f"{star}  --skip-spectral-trailing  --gpu -1 ")
    assert (done.stdout, done.returncode) == ("success\n", 0)
    assert np.isfinite(mrcfile.read(star.with_suffix(".mrc"))).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,1,", "0,1"),
        ("0,", "0"),
        ("-1", "cpu"),
        ("0:1,0:1,", "0,1"),
        ("default,", "auto"),
        ("", "auto"),
        ("\x03\x7f,", "auto"),
        ("10", "10"),
    ],
)
def test_gpus_as_the_versions_of_relion_name_them(text: str, expected: str) -> None:
    assert blush.gpu_request(text) == expected


@pytest.mark.parametrize("gpu", [["--gpu", "0,1,"], ["--gpu=0,1,"], ["-g", "0,1,"]])
def test_the_star_file_comes_last_and_own_options_after_relions(gpu: list[str]) -> None:
    words = blush.reconstruct_words(["a.star", *gpu, "-s", "20"], "--gpu auto")
    assert words == ["--gpu", "0,1", "--gpu", "auto", "a.star"]


def test_the_denoiser_is_asked_for_among_blushs_arguments_or_the_own() -> None:
    star = ["a.star", "--gpu", "-1"]
    assert blush.reconstruct_words([*star, "-s", "24"], "") == ["--gpu", "cpu", "a.star"]
    words = [
        "--method",
        "denoiser",
        "--blush_compatible",
        "-s",
        "24",
        "--weights=w.pt",
        "-m",
        "v1.0",
    ]
    assert blush.reconstruct_words([*star[:1], *words, *star[1:]], "") == [
        "--blush_compatible", "--method", "denoiser", "--stride", "24", "--weights", "w.pt",
        "--gpu", "cpu", "a.star",
    ]  # fmt: skip
    for own in ("--method denoiser", "--method=denoiser"):
        assert "--stride" in blush.reconstruct_words([*star, "--strides=24"], own)


def test_the_denoiser_answers_relion_5(shim: Path, project: Project, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from plugin_core.denoising.network import DenoisingNetwork

    weights = tmp_path / "weights.pt"
    state = DenoisingNetwork(1).state_dict()
    torch.save({"model_state_dict": state, "voxel_size": 1.5, "block_size": 64}, weights)
    star = project.call()
    project.previous_iteration()
    done = call(shim, f"{star} --method denoiser --weights {weights} -s 20 --gpu -1 ")
    assert (done.stdout, done.returncode) == ("success\n", 0), done.stderr
    assert "denoiser (weights.pt) on CPU" in done.stderr
    assert "stride: 20" in star.with_suffix(".log").read_text()
    done = call(shim, f"{star} --method denoiser --weights gone.pt --gpu -1 ")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "--weights names gone.pt, which is not a file" in done.stderr


def test_without_a_star_file_there_is_nothing_to_do() -> None:
    with pytest.raises(UserError, match="no STAR file"):
        blush.reconstruct_words(["--gpu", "0"], "")


# Installing and removing


def test_the_shim_is_installed_again_and_removed(shim: Path) -> None:
    assert main(["install-blush-shim", str(shim.parent)]) == 0
    assert os.access(shim, os.X_OK)
    assert main(["install-blush-shim", str(shim.parent), "--remove"]) == 0
    assert list(shim.parent.iterdir()) == []


@pytest.mark.parametrize("remove", [[], ["--remove"]])
def test_a_file_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], remove: list[str]
) -> None:
    path = tmp_path / install_blush_shim.NAME
    path.write_text("#!/bin/bash\necho RELION's own\n")
    assert main(["install-blush-shim", str(tmp_path), *remove]) == 1
    assert "is not this program's (it may be RELION's own)" in capsys.readouterr().err
    assert path.read_text() == "#!/bin/bash\necho RELION's own\n"


def test_nothing_to_remove_and_nowhere_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install-blush-shim", str(tmp_path), "--remove"]) == 1
    assert "does not exist: nothing to remove" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["install-blush-shim", str(tmp_path / "file" / "folder")]) == 1
    assert "file/folder cannot be made: Not a directory" in capsys.readouterr().err


def test_its_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert main(["install-blush-shim", str(folder)]) == 0
    assert os.access(folder / install_blush_shim.NAME, os.X_OK)


def test_another_one_that_is_found_first_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / install_blush_shim.NAME).touch(0o755)
    monkeypatch.setenv("PATH", str(first), prepend=os.pathsep)
    assert main(["install-blush-shim", str(tmp_path)]) == 0
    found = f"In this shell, {first / install_blush_shim.NAME} is found first."
    assert found in capsys.readouterr().out
