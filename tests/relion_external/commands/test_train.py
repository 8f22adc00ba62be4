from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core import fourier
from plugin_core.masks import soft_sphere
from relion_external.cli import main

BOX = 48
SMALL = ["--width", "2", "--steps", "4", "--batch", "2", "--save_every", "2", "--gpu", "cpu"]


def _write_pair(folder: Path, seed: int) -> None:
    """A lumpy ball in noise, at the network's voxel size."""
    rng = np.random.default_rng(seed)
    white = fourier.rfftn(rng.standard_normal((BOX,) * 3).astype(np.float32))
    gain = fourier.raised_cosine_low_pass(fourier.radii(BOX), 8.0, 3.0)
    lumps = fourier.irfftn(fourier.apply_radial(white, gain), BOX)
    density = (lumps / lumps.std() + 1) * soft_sphere(BOX, 14, 4)
    folder.mkdir(parents=True)
    for half in (1, 2):
        noise = 0.3 * rng.standard_normal((BOX,) * 3)
        mrcfile.write(
            folder / f"half{half}.mrc", (density + noise).astype(np.float32), voxel_size=1.5
        )


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs to train on, and one beside them in held_out."""
    folder = tmp_path_factory.mktemp("pairs")
    for seed in range(8):
        _write_pair(folder / "train" / f"entry{seed}", seed)
    _write_pair(folder / "held_out" / "entry", 100)
    return folder


def _train(pairs: Path, output: Path, *options: str) -> int:
    return main(["train", "--pairs", str(pairs / "train"), "--o", str(output), *SMALL, *options])


def _state(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model_state_dict"]


@pytest.fixture(scope="session")
def trained(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a whole training."""
    output = tmp_path_factory.mktemp("trained") / "w.pt"
    assert _train(pairs, output, "--validation", str(pairs / "held_out")) == 0
    return output


def test_weights_checkpoint_losses_and_their_picture_are_written(trained):
    content = torch.load(trained, weights_only=True)
    assert content["voxel_size"] == 1.5
    assert content["block_size"] == 64
    assert content["about"]["pairs"] == 8
    assert content["about"]["steps"] == 4
    assert content["model_state_dict"]["outc.weight"].dtype == torch.float16
    lines = [json.loads(line) for line in trained.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert all(line["loss"] > 0 and line["validation_loss"] > 0 for line in lines)
    assert trained.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_training_that_was_cut_off_resumes_to_the_same_weights(
    pairs, trained, tmp_path, monkeypatch
):
    from relion_external import training

    output = tmp_path / "w.pt"
    save = training._save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", save_and_stop)
    assert _train(pairs, output) == 130
    assert torch.load(output, weights_only=True)["about"]["steps"] == 2
    monkeypatch.setattr(training, "_save", save)
    assert _train(pairs, output) == 0
    for name, value in _state(trained).items():
        assert torch.equal(value, _state(output)[name]), name


def test_a_checkpoint_of_other_options_is_not_resumed(pairs, trained, capsys):
    before = trained.read_bytes()
    assert _train(pairs, trained, "--rate", "0.5") == 1
    assert "is of a training with other options (learning_rate)" in capsys.readouterr().err
    assert trained.read_bytes() == before


def test_tuning_starts_from_weights_and_takes_one_pair(pairs, trained, tmp_path):
    output = tmp_path / "tuned.pt"
    words = ["train", "--finetune", "--pairs", str(pairs / "held_out"), "--o", str(output)]
    small = ["--steps", "2", "--batch", "1", "--gpu", "cpu"]
    assert main([*words, "--weights", str(trained), *small]) == 0
    about = torch.load(output, weights_only=True)["about"]
    assert about["started from"] == str(trained)
    assert about["width"] == 2
    changed = [
        name for name, value in _state(output).items() if (value != _state(trained)[name]).any()
    ]
    assert changed


def test_tuning_refuses_more_than_one_pair(pairs, tmp_path, capsys):
    assert _train(pairs, tmp_path / "w.pt", "--finetune") == 1
    assert "--finetune is for one data set, but --pairs holds 8 pairs" in capsys.readouterr().err


def test_too_few_pairs_are_refused(pairs, tmp_path, capsys):
    words = ["train", "--pairs", str(pairs / "held_out"), "--o", str(tmp_path / "w.pt"), *SMALL]
    assert main(words) == 1
    assert "--pairs holds 1 pairs of half-maps; expected at least 8" in capsys.readouterr().err


def test_validation_on_what_is_trained_on_is_refused(pairs, tmp_path, capsys):
    shared = pairs / "train" / "entry3"
    assert _train(pairs, tmp_path / "w.pt", "--validation", str(shared)) == 1
    assert "is among --pairs too" in capsys.readouterr().err


def test_another_width_than_that_of_the_weights_is_refused(pairs, trained, tmp_path, capsys):
    assert _train(pairs, tmp_path / "w.pt", "--weights", str(trained), "--width", "4") == 1
    assert f"--width 4, but {trained} is 2 channels wide" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_an_error_and_not_the_cpu(pairs, tmp_path, capsys):
    assert _train(pairs, tmp_path / "w.pt", "--gpu", "93") == 1
    assert "--gpu 93: PyTorch" in capsys.readouterr().err
