"""Progress bars for who watches: none where stderr is a file, as in a batch job."""

from __future__ import annotations

from tqdm import tqdm


def progress_bar(total: int, what: str, unit: str) -> tqdm:
    """Return a bar; `bar.update(0)` lets its clock run on."""
    return tqdm(total=total, desc=what, unit=unit, mininterval=0.5, miniters=0, disable=None)
