"""What a long command tells while it works.

Takes: calls from the verbs. Gives: `Reporter`, which says nothing; the command line's own is `console.ConsoleReporter`.
"""

from typing import Any


class Reporter:
    """Listens and shows nothing. Library users may pass their own."""

    def note(self, text: str) -> None:
        """One line worth knowing."""

    def warn(self, text: str) -> None:
        """One line that should not be missed."""

    def progress(self, stage: str, done: int, total: int, **figures: float) -> None:
        """`done` of `total` in a stage that has a name; figures are loss, macro_f1, images_per_second, seconds_left."""

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch is over: its line of metrics.jsonl."""

    def resumed(self, lines: list[dict[str, Any]]) -> None:
        """A run goes on, or was finished before: its lines so far."""


SILENT = Reporter()
