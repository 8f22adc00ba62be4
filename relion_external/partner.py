"""The other half-map, for the cross-half risk: from files, with a time limit, never from a process.

RELION runs both half-sets' hooks at once, and each finds the other's input files on disk within
moments. With --sequential_halves_recons the second half's files appear only after the first hook
has ended: waiting for them would be for ever.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from plugin_core.backend import Array
from relion_external.accumulated import Accumulated
from relion_external.errors import UserError
from relion_external.iteration import HookCall, PreviousIteration, read_call
from relion_external.volumes import read_map

SEQUENTIAL_FLAG = "--sequential_halves_recons"
_POLL_S = 0.5
_WRITING_S = 5.0
"""Longest time that RELION may take from opening its STAR file to the last line."""

log = logging.getLogger(__name__)


def partner_map(accumulated: Accumulated, previous: PreviousIteration, limit_s: float) -> Array:
    """Raw map of the other half-set, on the device of `accumulated`.

    Taken from the unfiltered map where RELION wrote one, else reconstructed from the other half's
    arrays, for which it waits up to `limit_s` seconds; UserError if they do not come.
    """
    call = accumulated.call
    unfiltered = _unfiltered_map(call, previous)
    if unfiltered is not None:
        log.info("other half-map: %s", unfiltered)
        return accumulated.xp.asarray(read_map(unfiltered, call.box))
    star = wait_for_partner_star(call, previous, limit_s)
    log.info("other half-map: from %s", star)
    return replace(accumulated, call=_read_when_whole(star, limit_s)).raw()


def _read_when_whole(star: Path, limit_s: float) -> HookCall:
    """Read a STAR file that RELION may still be writing."""
    deadline = time.monotonic() + min(limit_s, _WRITING_S)
    while True:
        try:
            return read_call(star)
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _unfiltered_map(call: HookCall, previous: PreviousIteration) -> Path | None:
    """Unfiltered map of the other half-set, which RELION writes with --solvent_correct_fsc.

    Not for bodies: RELION writes theirs in another frame than the arrays'.
    """
    if call.name.kind == "body":
        return None
    assert call.name.half is not None
    other = 3 - call.name.half
    name = f"{call.name.stem}_half{other}_class{call.name.number:03d}_unfil.mrc"
    path = call.name.root.with_name(name)
    return path if _is_there(path, previous) else None


def wait_for_partner_star(call: HookCall, previous: PreviousIteration, limit_s: float) -> Path:
    """Wait until the other half's STAR file is there, which RELION writes after its arrays.

    Raises
    ------
    UserError
        If RELION runs the halves one after the other and this is the first, or `limit_s` seconds
        have passed.
    """
    assert call.name.half is not None
    path = call.name.of_half(3 - call.name.half)
    if not _is_there(path, previous) and SEQUENTIAL_FLAG in previous.command_line:
        raise UserError(
            f"the risk cross-half needs both half-maps, but with {SEQUENTIAL_FLAG} RELION makes "
            f"{path.name} only after this call has ended: drop that flag, add "
            "--solvent_correct_fsc with a mask, or use --risk split-noise"
        )
    if not _is_there(path, previous):
        log.info("waiting up to %g s for %s", limit_s, path)
    deadline = time.monotonic() + limit_s
    while not _is_there(path, previous):
        if time.monotonic() > deadline:
            raise UserError(
                f"the other half-set's {path} did not appear within {limit_s:g} s "
                "(--partner_timeout): use --risk split-noise, which needs no other half"
            )
        time.sleep(_POLL_S)
    return path


def _is_there(path: Path, previous: PreviousIteration) -> bool:
    return path.exists() and path.stat().st_size > 0 and _is_fresh(path, previous)


def _is_fresh(path: Path, previous: PreviousIteration) -> bool:
    """Whether `path` is of this run: not older than the end of the previous iteration."""
    optimiser = previous.optimiser_path
    return not optimiser.exists() or path.stat().st_mtime >= optimiser.stat().st_mtime
