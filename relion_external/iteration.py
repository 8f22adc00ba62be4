"""What one call of the hook is about: the STAR file, its name, and the previous iteration's files.

Names (RELION 3.1 to 5): <root>_it<NNN>[_half<H>]_{class|body}<MMM>_external_reconstruct.star, where
the root may hold anything; a call without a half is a classification or the last iteration of an
auto-refinement, in which the half-sets are joined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from relion_external import star
from relion_external.errors import UserError
from relion_external.plain_star import read_plain

_NAME = re.compile(
    r"^(?P<root>.+)_it(?P<iteration>\d{3,})(?:_half(?P<half>[12]))?"
    r"_(?P<kind>class|body)(?P<number>\d{3})_external_reconstruct\.star$"
)

HALF, JOINED, CLASSIFICATION = "half-set", "joined", "classification"


@dataclass(frozen=True)
class CallName:
    """What the name of the STAR file says.

    Attributes
    ----------
    root : Path
        RELION's output root, folder included: ``Refine3D/job012/run``.
    iteration, number : int
        Iteration; class or body number, from 1.
    half : int or None
        Half-set, 1 or 2; None where there is but one map.
    kind : str
        ``"class"`` or ``"body"``.
    """

    root: Path
    iteration: int
    half: int | None
    kind: str
    number: int

    def of_half(self, half: int) -> Path:
        """Path of the STAR file of the call for half-set `half`."""
        name = f"{self.stem}_half{half}_{self.kind}{self.number:03d}_external_reconstruct.star"
        return self.root.with_name(name)

    @property
    def stem(self) -> str:
        """Start of the names of this iteration's files, without the folder."""
        return f"{self.root.name}_it{self.iteration:03d}"

    def previous(self, suffix: str) -> Path:
        """Path of a file of the previous iteration: ``previous("optimiser.star")``."""
        return self.root.with_name(f"{self.root.name}_it{self.iteration - 1:03d}_{suffix}")

    def __str__(self) -> str:
        half = f" half {self.half}" if self.half else ""
        return f"iteration {self.iteration}{half} {self.kind} {self.number}"


def parse_name(path: Path) -> CallName:
    """Parse the name of a hook call's STAR file; UserError if it is none of RELION's."""
    match = _NAME.match(path.name)
    if match is None:
        raise UserError(
            f"{path} is not named as RELION names a hook call; expected "
            "<root>_it<NNN>[_half<H>]_class<MMM>_external_reconstruct.star (or _body<MMM>)"
        )
    return CallName(
        root=path.with_name(match["root"]),
        iteration=int(match["iteration"]),
        half=int(match["half"]) if match["half"] else None,
        kind=match["kind"],
        number=int(match["number"]),
    )


@dataclass(frozen=True)
class PreviousIteration:
    """What the previous iteration's optimiser and model STAR files say; empty where absent.

    Attributes
    ----------
    optimiser, model : dict
        First block of each file.
    command_line : str
        RELION's own command line, from the comment in the optimiser file.
    """

    optimiser: dict[str, Any]
    model: dict[str, Any]
    command_line: str
    optimiser_path: Path
    model_path: Path

    @property
    def is_gradient(self) -> bool:
        """Whether RELION refines by gradient descent (InitialModel, VDAM, SGD)."""
        return any(
            star.number(self.optimiser, label, self.optimiser_path, default=0)
            for label in star.GRADIENT_FLAGS
        )

    @property
    def masks_with_zeros(self) -> bool:
        """Whether RELION sets the surroundings of the particles to zero (--zero_mask)."""
        return bool(star.number(self.optimiser, star.ZERO_MASK, self.optimiser_path, default=0))

    @property
    def corrects_fsc(self) -> bool:
        """Whether RELION's FSC is of masked maps (--solvent_correct_fsc)."""
        return bool(star.number(self.optimiser, star.CORRECTS_FSC, self.optimiser_path, default=0))

    @property
    def solvent_mask(self) -> Path | None:
        """The mask of --solvent_mask, relative to RELION's working directory; None without one."""
        name = str(self.optimiser.get(star.SOLVENT_MASK, "None"))
        return None if name in ("None", "") else Path(name)

    @property
    def data_dimension(self) -> int:
        """2 for images, 3 for sub-tomograms."""
        return int(star.number(self.model, star.DATA_DIMENSION, self.model_path, default=2))


def read_previous(name: CallName) -> PreviousIteration:
    """Read the previous iteration's files; those that are not there count as empty."""
    optimiser_path = name.previous("optimiser.star")
    candidates = [name.previous(f"half{name.half or 1}_model.star"), name.previous("model.star")]
    model_path = next((path for path in candidates if path.exists()), candidates[0])
    return PreviousIteration(
        optimiser=_first_block(optimiser_path),
        model=_first_block(model_path),
        command_line=star.command_line(optimiser_path),
        optimiser_path=optimiser_path,
        model_path=model_path,
    )


@dataclass(frozen=True)
class HookCall:
    """One call of the hook, read and checked.

    Attributes
    ----------
    star_path : Path
    name : CallName
    data_real, data_imag, weight, result, result_star : Path
        RELION's three arrays, the map it expects, and the STAR file it would read as well.
    box, max_shell : int
        N, and half of RELION's current image size.
    padding, tau2_fudge : float
    tau2, fsc : (N // 2 + 1,) float64
    voxel_size, particle_diameter : float or None
        In Å, where the STAR file tells (RELION 4.0.1 and later).
    """

    star_path: Path
    name: CallName
    data_real: Path
    data_imag: Path
    weight: Path
    result: Path
    result_star: Path
    box: int
    max_shell: int
    padding: float
    tau2_fudge: float
    tau2: np.ndarray
    fsc: np.ndarray
    voxel_size: float | None
    particle_diameter: float | None

    @cached_property
    def mode(self) -> str:
        """HALF, JOINED (last iteration of an auto-refinement) or CLASSIFICATION.

        Without a half in the name, RELION writes an FSC for the joined map only.
        """
        if self.name.half:
            return HALF
        return JOINED if np.any(self.fsc != 0) else CLASSIFICATION


def read_call(path: Path) -> HookCall:
    """Read the STAR file of a hook call.

    Raises
    ------
    UserError
        If the file is missing, is not a hook call of a 3-D reference, or lacks something.
    """
    name = parse_name(path)
    blocks = read_plain(path)
    if star.GENERAL not in blocks:
        raise UserError(f"{path} lacks the block data_{star.GENERAL}: not a hook call of RELION")
    general = blocks[star.GENERAL]
    dimension = int(star.number(general, star.REFERENCE_DIMENSION, path, default=3))
    if dimension != 3:
        raise UserError(
            f"{path} is about a {dimension}-D reference; only 3-D maps can be regularised: "
            "run Class2D without --external_reconstruct"
        )
    box = int(star.number(general, star.BOX, path))
    tau2, fsc = _read_spectra(blocks, box, path)
    return HookCall(
        star_path=path,
        name=name,
        data_real=Path(star.text(general, star.DATA_REAL, path)),
        data_imag=Path(star.text(general, star.DATA_IMAG, path)),
        weight=Path(star.text(general, star.WEIGHT, path)),
        result=Path(star.text(general, star.RESULT, path)),
        result_star=Path(star.text(general, star.RESULT_STAR, path)),
        box=box,
        max_shell=int(star.number(general, star.CURRENT_SIZE, path)) // 2,
        padding=star.number(general, star.PADDING, path),
        tau2_fudge=star.number(general, star.TAU2_FUDGE, path),
        tau2=tau2,
        fsc=fsc,
        voxel_size=_positive(general, star.PIXEL_SIZE, path),
        particle_diameter=_positive(general, star.PARTICLE_DIAMETER, path),
    )


def resolve_voxel_size(call: HookCall, previous: PreviousIteration, given: float | None) -> float:
    """Voxel size in Å: as given, else from the STAR file, else from the previous iteration."""
    found = given or call.voxel_size
    found = found or _positive(previous.model, star.PIXEL_SIZE, previous.model_path)
    if not found:
        untold = _untold(call.star_path, previous.model_path)
        raise UserError(f"the voxel size is unknown: {untold}; give --angpix")
    return found


def resolve_particle_diameter(
    call: HookCall, previous: PreviousIteration, given: float | None
) -> float:
    """Particle diameter in Å, from the same places as :func:`resolve_voxel_size`."""
    found = given or call.particle_diameter
    found = found or _positive(previous.optimiser, star.PARTICLE_DIAMETER, previous.optimiser_path)
    if not found:
        untold = _untold(call.star_path, previous.optimiser_path)
        raise UserError(f"the particle diameter is unknown: {untold}; give --particle_diameter")
    return found


def _untold(star_path: Path, previous_path: Path) -> str:
    """Why something is not known from the call's STAR file and one of the previous iteration."""
    if previous_path.exists():
        return f"neither {star_path} nor {previous_path} tells it"
    return f"{star_path} does not tell it, and {previous_path} does not exist"


def _read_spectra(blocks: Mapping[str, Any], box: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = blocks.get(star.SPECTRA)
    if table is None:
        raise UserError(
            f"{path} lacks the block data_{star.SPECTRA}: relion_refine writes it, "
            "relion_reconstruct --external_reconstruct does not"
        )
    expected = box // 2 + 1
    if star.TAU2 not in table or star.FSC not in table or len(table[star.TAU2]) != expected:
        raise UserError(
            f"{path}: data_{star.SPECTRA} must hold _{star.TAU2} and _{star.FSC} "
            f"for {expected} shells"
        )
    try:
        tau2, fsc = (np.asarray(table[label], np.float64) for label in (star.TAU2, star.FSC))
        are_numbers = bool(np.isfinite(tau2).all() and np.isfinite(fsc).all())
    except ValueError:
        are_numbers = False
    if not are_numbers:
        raise UserError(f"{path}: data_{star.SPECTRA} holds values that are not finite numbers")
    return tau2, fsc


def _first_block(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return dict(next(iter(read_plain(path, first_only=True).values())))


def _positive(block: dict[str, Any], label: str, path: Path) -> float | None:
    """Value of `label` in a block if it is there and positive: RELION writes 0 for unknown."""
    value = star.number(block, label, path, default=0)
    return value if value > 0 else None
