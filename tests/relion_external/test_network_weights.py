"""Files of weights: found where they should be, and read without being believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.network import DenoisingNetwork
from relion_external import network_weights
from relion_external.errors import UserError
from relion_external.network_weights import VARIABLE, find_weights, load_weights, require_torch


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights anywhere but where a test puts them."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub of torch"))
    monkeypatch.setattr(network_weights, "SHIPPED", tmp_path / "shipped.pt")


def content(width: int = 1, **changes: Any) -> dict[str, Any]:
    torch.manual_seed(3)
    state = DenoisingNetwork(width).state_dict()
    return {"model_state_dict": state, "voxel_size": 1.5, "block_size": 64} | changes


def saved(path: Path, value: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# ---- where they are found -----------------------------------------------------------------------


def test_what_is_asked_for_goes_before_what_is_published_and_that_before_what_is_shipped(
    tmp_path, monkeypatch
):
    places = {
        "shipped": network_weights.SHIPPED,
        "published": tmp_path / "hub of torch/hub/checkpoints/relion_blush/v1.0.ckpt",
        VARIABLE: tmp_path / "of the variable.pt",
        "--weights": tmp_path / "given.pt",
    }
    given = None
    for origin, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        if origin == VARIABLE:
            monkeypatch.setenv(VARIABLE, str(path))
        if origin == "--weights":
            given = path
        found = find_weights(given)
        assert (found.origin, found.path) == (origin, path)


@pytest.mark.parametrize("cache", ["XDG_CACHE_HOME", "HOME"])
def test_published_weights_are_looked_for_where_pytorch_keeps_its_files(
    tmp_path, monkeypatch, cache
):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(cache, str(tmp_path))
    assert network_weights.published_path().parents[2] == Path(torch.hub.get_dir())


def test_missing_weights_are_told_with_all_places_and_what_to_do(tmp_path):
    with pytest.raises(UserError) as caught:
        find_weights(None)
    for told in (
        "--weights is not given",
        "RELION_EXTERNAL_WEIGHTS is not set",
        str(tmp_path / "hub of torch/hub/checkpoints/relion_blush/v1.0.ckpt"),
        "relion_python_fetch_weights",
        str(tmp_path / "shipped.pt"),
        "relion-external train",
    ):
        assert told in str(caught.value)


def test_weights_that_were_asked_for_are_not_replaced_by_others(tmp_path, monkeypatch):
    network_weights.SHIPPED.write_bytes(b"")
    with pytest.raises(UserError, match=r"--weights names .*gone\.pt, which is not a file"):
        find_weights(tmp_path / "gone.pt")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=f"{VARIABLE} names {tmp_path}, which is not a file"):
        find_weights(None)


def test_pytorch_is_asked_for_in_one_sentence(monkeypatch):
    require_torch()
    monkeypatch.setattr(network_weights, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the denoiser needs PyTorch.* pip install"):
        require_torch()


# ---- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_is_read_as_it_was_saved(tmp_path, packed, half):
    """Plain or gzipped, in single or half precision, and whatever else lies in it."""
    wanted = content(voxel_size=1.4, block_size=96, no_mask=True, about={"steps": 3})
    wanted["model_definition"] = "raise SystemExit('this must never run')"
    state = wanted["model_state_dict"]
    if half:
        wanted["model_state_dict"] = {name: value.half() for name, value in state.items()}
    path = saved(tmp_path / "weights.ckpt", wanted)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    loaded = load_weights(path)
    assert loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network_weights.file_sha256(path) == loaded.sha256
    assert (loaded.voxel_size, loaded.block_size) == (1.4, 96)
    assert (loaded.trained.width, loaded.trained.voxel_size) == (1, 1.4)
    assert not loaded.network.training
    for name, value in loaded.network.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, state[name], rtol=1e-3 if half else 0, atol=1e-6)


# ---- what is refused ----------------------------------------------------------------------------


class Code:
    """When unpickled without care, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._folder),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "gzipped", "pickle"])
def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(tmp_path, kind):
    path, proof = tmp_path / "weights.pt", tmp_path / "proof"
    wanted = content(innocent=Code(proof))
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"innocent": Code(proof)}, protocol=2))
    else:
        saved(path, wanted, _use_new_zipfile_serialization=kind != "legacy")
    if kind == "gzipped":
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert "was refused: it names posix.mkdir, which loading would run as code" in refusal(path)
    assert not proof.exists()
    assert proof.parent.exists()
    if kind == "zip":  # the trap does work
        torch.load(path, weights_only=False)
        assert proof.exists()


def test_an_old_tar_checkpoint_is_refused(tmp_path):
    """PyTorch before 2.6 ran code from these whatever it was told."""
    path = tmp_path / "weights.pt"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    assert "is a tar archive" in refusal(path)


def damaged(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut short": whole[: len(whole) // 2],
            "text": b"hello, I am no checkpoint\n",
            "noise": bytes(torch.randint(256, (5000,), dtype=torch.uint8).tolist()),
            "damaged": whole[:60] + bytes(100) + whole[160:],
        }[kind]
    )


@pytest.mark.parametrize("kind", ["empty", "cut short", "text", "noise", "damaged"])
def test_a_damaged_file_is_told(tmp_path, kind):
    path = saved(tmp_path / "weights.pt", content())
    damaged(path, kind)
    assert "cannot be read as a PyTorch checkpoint" in refusal(path)


def test_a_damaged_gzip_file_is_told(tmp_path):
    path = saved(tmp_path / "weights.pt", content())
    path.write_bytes(gzip.compress(path.read_bytes())[:-100])
    assert "is not a whole gzip file" in refusal(path)


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(network_weights, "_LARGEST_BYTES", 10_000)
    path = tmp_path / "weights.pt"
    path.write_bytes(gzip.compress(bytes(10_001)))
    assert "unpacks to more than" in refusal(path)


def test_a_file_that_may_not_be_read_is_told(tmp_path):
    assert "cannot be read: Is a directory" in refusal(tmp_path)


NAME = "inc.double_conv.conv1.weight"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1, 2], "holds a list; expected a dictionary"),
        ({"state_dict": {}}, "lacks model_state_dict"),
        (content(voxel_size=0), "voxel_size is 0"),
        (content(voxel_size="1.5"), "voxel_size is '1.5'"),
        (content(block_size=50), "block_size is 50"),
        (content(block_size=32), "block_size is 32"),
        (content(model_state_dict=[1.0]), "model_state_dict is not a dictionary of tensors"),
        (content(model_state_dict={NAME: 1.0}), "model_state_dict is not a dictionary of tensors"),
        (content(model_state_dict={"conv.weight": torch.zeros(3)}), "missing: inc.double_conv"),
        (content(model_state_dict={"conv.weight": torch.zeros(3)}), "unexpected: conv.weight"),
    ],
)
def test_what_is_not_this_networks_is_told(tmp_path, value, told):
    assert told in refusal(saved(tmp_path / "weights.pt", value))


def test_a_missing_entry_is_named(tmp_path):
    for name in ("voxel_size", "block_size"):
        wanted = content()
        del wanted[name]
        assert f"lacks {name}" in refusal(saved(tmp_path / "weights.pt", wanted))


def test_a_network_of_another_shape_is_told(tmp_path):
    state = content(2)["model_state_dict"]
    state["outc.weight"] = torch.zeros(3, 2, 1, 1, 1)
    del state["outc.bias"]
    message = refusal(saved(tmp_path / "weights.pt", content(model_state_dict=state)))
    assert "missing: outc.bias" in message
    assert "outc.weight (3, 2, 1, 1, 1) instead of (2, 2, 1, 1, 1)" in message


def test_values_that_are_not_finite_are_told(tmp_path):
    state = content()["model_state_dict"]
    state[NAME][0] = float("nan")
    path = saved(tmp_path / "weights.pt", content(model_state_dict=state))
    assert f"{NAME} holds values that are not finite" in refusal(path)
