"""Progress bars that stay short where nobody watches them, as in the log of a batch job."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int, what: str, unit: str) -> tqdm:
    """Return a bar; `bar.update(0)` lets its clock run on, without flooding a log file."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, desc=what, unit=unit, mininterval=interval, miniters=0)
