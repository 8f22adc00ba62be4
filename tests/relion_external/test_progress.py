from __future__ import annotations

import io
import sys

import pytest

from relion_external.progress import progress_bar


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, watched: bool) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: watched)
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress_bar(2, "regularising", "level") as bar:
        bar.update(2)
    assert ("regularising: 100%" in stderr.getvalue()) == watched
    assert watched or stderr.getvalue() == ""
