"""What the hook's options ask for, tried before RELION starts: devices, mask, weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external.devices import open_device
from relion_external.errors import UserError
from relion_external.half_map_pair import read_external_map
from relion_external.network_weights import require_torch
from relion_external.volumes import read_mask

if TYPE_CHECKING:
    from relion_external.denoiser_setup import Denoiser


def problems(options: argparse.Namespace, box: int | None = None) -> list[str]:
    """What the hook would fail for at its first call: one sentence each, without full stop.

    Parameters
    ----------
    options : argparse.Namespace
        Of ``reconstruct``.
    box : int, optional
        Voxels a side that the mask must have; any cube if not given.
    """
    checks: list[Callable[[], object]] = []
    if options.mask is not None:
        checks.append(partial(_check_mask, options.mask, box))
    opens = open_hooks_denoiser if options.method == "denoiser" else open_device
    checks += [partial(opens, options, request) for request in options.gpu.split(",")]
    found = []
    for check in checks:
        try:
            check()
        except UserError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))  # weights that cannot be read fail on every device


def open_hooks_denoiser(options: argparse.Namespace, request: str) -> Denoiser:
    """The hook's denoiser if --gpu gives it `request`; UserError if it cannot be had."""
    require_torch()
    from relion_external.blush_compatible import open_published
    from relion_external.denoiser_setup import open_denoiser

    opens = open_published if options.blush_compatible else open_denoiser
    return opens(options, request, open_device(options, request))


def _check_mask(path: Path, box: int | None) -> None:
    read_mask(path, len(read_external_map(path).volume) if box is None else box)
