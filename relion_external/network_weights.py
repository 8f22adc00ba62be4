"""The denoiser's weights: where they are found, and how a file of them is read without trusting it.

A checkpoint is a dictionary, gzipped or not, as PyTorch saves it: ``model_state_dict`` (names and
shapes as in RELION 5's ``relion_blush`` v1.0), ``voxel_size`` in Å and ``block_size`` in voxels.
Whatever else it holds, such as the source text of a model, is not looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import re
import sys
import tarfile
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_external.errors import UserError

if TYPE_CHECKING:
    from plugin_core.denoising.apply import TrainedNetwork
    from plugin_core.denoising.network import DenoisingNetwork

VARIABLE = "RELION_EXTERNAL_WEIGHTS"
"""Environment variable that names a file of weights."""

SHIPPED = Path(__file__).with_name("data") / "denoiser_v1.pt"
"""Weights that come with this program, trained on simulated half-maps only."""

INSTALL = "pip install torch"

_PUBLISHED = Path("hub") / "checkpoints" / "relion_blush" / "v1.0.ckpt"
_LARGEST_BYTES = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"
_CODE = re.compile(
    r"GLOBAL:? ([\w.]+)|(?:Unsupported|disallowed) (?:class|global):? ([\w.]+)", re.I
)
"""How PyTorch words that a file names something other than data."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights and why it was taken.

    Attributes
    ----------
    path : Path
    origin : str
        ``"--weights"``, the environment variable, ``"published"`` or ``"shipped"``.
    """

    path: Path
    origin: str


@dataclass(frozen=True)
class LoadedWeights:
    """A network as it was read from a file.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file's bytes.
    network : DenoisingNetwork
        In evaluation mode, on the CPU.
    voxel_size : float
        In Å.
    block_size : int
        In voxels.
    """

    path: Path
    sha256: str
    network: DenoisingNetwork
    voxel_size: float
    block_size: int

    @property
    def trained(self) -> TrainedNetwork:
        """What the network is applied with."""
        from plugin_core.denoising.apply import TrainedNetwork

        return TrainedNetwork(self.network, self.voxel_size, self.block_size)


def require_torch() -> None:
    """Raise UserError if PyTorch is not installed."""
    if find_spec("torch") is None:
        raise UserError(
            f"the denoiser needs PyTorch, which {sys.executable} does not have: {INSTALL}"
        )


def published_path() -> Path:
    """Where RELION 5 keeps the published weights: in PyTorch's hub folder, below TORCH_HOME."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch") / _PUBLISHED


def find_weights(given: Path | None) -> WeightsFile:
    """Find the weights: as given, else by the environment variable, else published, else shipped.

    The published ones were trained on real half-maps, so they go before the shipped ones.

    Raises
    ------
    UserError
        If a file that was asked for is not there, or there is none at all.
    """
    named = os.environ.get(VARIABLE)
    asked = [("--weights", given), (VARIABLE, Path(named) if named else None)]
    for origin, path in asked:
        if path is not None:
            if not path.is_file():
                raise UserError(f"{origin} names {path}, which is not a file")
            return WeightsFile(path, origin)
    published = published_path()
    for origin, path in (("published", published), ("shipped", SHIPPED)):
        if path.is_file():
            return WeightsFile(path, origin)
    raise UserError(
        f"no weights for the denoiser: --weights is not given, {VARIABLE} is not set, and there "
        f"is neither {published} (relion_python_fetch_weights of RELION 5 puts the published ones "
        f"there; TORCH_HOME says where) nor {SHIPPED}; relion-external train makes some"
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def load_weights(path: Path) -> LoadedWeights:
    """Read a checkpoint; nothing in it is ever run.

    Raises
    ------
    UserError
        If it cannot be read, holds anything but data, or belongs to another network.
    """
    content = _read_bytes(path)
    checkpoint = _load(path, _unpacked(path, content))
    return LoadedWeights(
        path,
        hashlib.sha256(content).hexdigest(),
        _network(path, _entry(checkpoint, "model_state_dict", path)),
        _voxel_size(path, _entry(checkpoint, "voxel_size", path)),
        _block_size(path, _entry(checkpoint, "block_size", path)),
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the weights {path} cannot be read: {error.strerror}") from error


def _unpacked(path: Path, content: bytes) -> bytes:
    """The bytes of the checkpoint itself, however it was compressed."""
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            unpacked = packed.read(_LARGEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file: {error}") from error
    if len(unpacked) > _LARGEST_BYTES:
        raise UserError(f"{path} unpacks to more than 1 GiB; expected weights of a denoiser")
    return unpacked


def _load(path: Path, content: bytes) -> Any:
    import torch

    if tarfile.is_tarfile(io.BytesIO(content)):  # PyTorch before 2.6 ran code from such files
        raise UserError(f"{path} is a tar archive; expected a checkpoint saved by PyTorch 1.6 on")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are refused in the next moment
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever a file that is none makes of PyTorch's reader
        code = _CODE.search(str(error))
        if code:
            raise UserError(
                f"{path} was refused: it names {code[1] or code[2]}, which loading would run as "
                "code; expected nothing but tensors, numbers and text"
            ) from error
        raise UserError(
            f"{path} cannot be read as a PyTorch checkpoint ({type(error).__name__}): it is "
            "damaged, or something else"
        ) from error


def _entry(checkpoint: Any, name: str, path: Path) -> Any:
    if not isinstance(checkpoint, Mapping):
        raise UserError(f"{path} holds a {type(checkpoint).__name__}; expected a dictionary")
    if name not in checkpoint:
        raise UserError(f"{path} lacks {name}; expected model_state_dict, voxel_size, block_size")
    return checkpoint[name]


def _network(path: Path, state: Any) -> DenoisingNetwork:
    import torch

    from plugin_core.denoising.network import network_from_state

    if not (isinstance(state, Mapping) and all(torch.is_tensor(v) for v in state.values())):
        raise UserError(f"{path}: model_state_dict is not a dictionary of tensors")
    damaged = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if damaged:
        raise UserError(f"{path}: {damaged[0]} holds values that are not finite")
    try:
        return network_from_state(state)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _voxel_size(path: Path, value: Any) -> float:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise UserError(f"{path}: voxel_size is {value!r}, expected a number in Å")
    return float(value)


def _block_size(path: Path, value: Any) -> int:
    if not (isinstance(value, int) and value >= 64 and value % 32 == 0):
        raise UserError(
            f"{path}: block_size is {value!r}, expected a multiple of 32 voxels, 64 at least"
        )
    return value
