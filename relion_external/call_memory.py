"""Memory of a call: compared with what is free before it starts, and running out put in words."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from plugin_core.backend import is_out_of_memory
from relion_external.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """Memory on one device.

    Attributes
    ----------
    device : str
        Its name.
    need_bytes : int
        About what the call takes.
    free_bytes : int or None
        None where it is not known, and nothing is refused: on the CPU.
    """

    device: str
    need_bytes: int
    free_bytes: int | None

    def too_little(self, box: int) -> str:
        """Start of a sentence that says so."""
        return (
            f"{self.device} has too little memory for box {box}: about "
            f"{self.need_bytes / 1e9:.1f} GB needed"
        )


@contextmanager
def memory_explained(box: int, needs: Sequence[Need]) -> Iterator[None]:
    """Refuse what will not fit, and put an out-of-memory error into words.

    Raises
    ------
    UserError
    """
    for need in needs:
        log.info("memory: about %.2f GB needed on the %s", need.need_bytes / 1e9, need.device)
        if need.free_bytes is not None and need.free_bytes < need.need_bytes:
            raise UserError(
                f"{need.too_little(box)}, {need.free_bytes / 1e9:.1f} GB free; --gpu 0,1 gives "
                "each half-set a GPU of its own, --gpu cpu uses the host's memory"
            )
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        need = max(needs, key=lambda each: each.free_bytes is not None)  # a GPU's runs out first
        left = "" if need.free_bytes is None else f", {need.free_bytes / 1e9:.1f} GB were free"
        raise UserError(f"{need.too_little(box)}{left}; the allocation failed: {error}") from error
