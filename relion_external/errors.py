"""Errors that the command line turns into one line for the user."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Something the user can put right.

    The message is one sentence: which file or option, what was found, what was expected.
    """


class LoggedError(Exception):
    """An unexpected error whose traceback a command has already written to its log.

    Raise it ``from`` the original exception, which is the one that is named to the user.

    Parameters
    ----------
    log_path : Path
        File that holds the traceback.
    """

    def __init__(self, log_path: Path) -> None:
        super().__init__(f"unexpected error, traceback in {log_path}")
        self.log_path = log_path
