"""What can go wrong, in words for the person at the keyboard.

Takes: one line that names the thing, what was found, and the way out.
Gives: an exception whose `exit_code` the command line passes on. Nothing else in Corolla calls `sys.exit`.
"""

from typing import Self


class CorollaError(Exception):
    """Base of every error that Corolla raises on purpose; the message is one line and needs no traceback."""

    exit_code = 1

    everywhere = False
    """Whether all processes of a run over several hosts raise it together."""

    def of_all(self) -> Self:
        """The same error, for `raise`: known to be raised by all processes."""
        self.everywhere = True
        return self


class DataError(CorollaError):
    """The data are missing, broken or not what they claim to be. Exit code 1."""


class RunError(CorollaError):
    """A run folder, a checkpoint or the machine failed (no room, no permission, damaged file). Exit code 1."""


class WishError(CorollaError):
    """The wish makes no sense: an unknown name, a setting out of range, a contradiction. Exit code 2."""

    exit_code = 2


def nearest(name: str, known: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest known name, or "" when none is near."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
