"""The doctor's report: lines under headings, and what keeps the hook from running."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass, field

from relion_external import __version__


@dataclass
class Report:
    """Lines under headings, and the problems that keep the hook from running.

    Attributes
    ----------
    lines : list of str
        The report so far.
    problems : list of str
        Sentences without their full stop; none of them means that the hook will run.
    remedy : str
        The shell command that sets the hook, if that is a problem.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remedy: str = ""

    def heading(self, title: str) -> None:
        """Begin a section."""
        self.lines += ["", title]

    def row(self, name: str, value: str) -> None:
        """Add a name and what was found."""
        self.lines.append(_wrapped(f"  {name:<17} ", value))

    def text(self) -> str:
        """Return the whole report, closed by a plain sentence."""
        closing = [_wrapped("Not ready: ", f"{problem}.") for problem in self.problems]
        if self.remedy:
            closing += ["To set the hook without options:", f"  {self.remedy}"]
        if not closing:
            closing = ["Ready: RELION's --external_reconstruct will run relion-external here."]
        return "\n".join([f"relion-external {__version__}", *self.lines, "", *closing])


def size_text(size_bytes: float) -> str:
    """A size in words, in MB or GB of powers of ten."""
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def _wrapped(lead: str, text: str) -> str:
    """Wrap `text` behind `lead` to the terminal's width, paths unbroken, with a hanging indent."""
    return textwrap.fill(
        text,
        width=max(60, shutil.get_terminal_size(fallback=(100, 24)).columns),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
