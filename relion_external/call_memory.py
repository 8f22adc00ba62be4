"""What the machine may not give: memory is asked for first, and what fails is put into words."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from plugin_core.backend import is_device_failure, is_out_of_memory
from relion_external.errors import UserError
from relion_external.system import available_memory

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
    """Refuse what will not fit on a GPU, and put running out of memory, or a GPU's end, into words.

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
        if is_device_failure(error) and not is_out_of_memory(error):
            names = " or ".join(need.device for need in needs)
            raise UserError(
                f"{names} failed during the work: {type(error).__name__}: {error}; run again, "
                "or with --gpu cpu"
            ) from error
        if not is_out_of_memory(error):
            raise
        need = max(needs, key=lambda each: each.free_bytes is not None)  # a GPU's runs out first
        left = "" if need.free_bytes is None else f", {need.free_bytes / 1e9:.1f} GB were free"
        raise UserError(f"{need.too_little(box)}{left}; the allocation failed: {error}") from error


def warn_of_little_memory(need_bytes: int) -> None:
    """Warn if the host has less memory than is needed: where it runs out, the system ends us.

    No more than a warning, since what is available is the system's estimate, and there may be swap.
    """
    available = available_memory()
    if available < need_bytes:
        log.warning(
            "about %.1f GB of memory are needed and %.1f GB are available: the system may end this "
            "program without another word",
            *(need_bytes / 1e9, available / 1e9),
        )
