"""How fast training goes, and how many steps fit into the time that is left.

Takes: what dispatches of steps, and the ends of epochs, took.
Gives: `Pace`: steps for the next dispatch, and the total number of steps for a time.
"""

import math

SECONDS_A_DISPATCH = 3.0
"""How long one dispatch of many steps should take: short enough to show progress and to stop soon."""

MEMORY_SECONDS = 60.0
"""How long what a step took is remembered (to a third): one slow dispatch says little, a slow minute tells."""


class Pace:
    """Seconds of a step, and of what closes an epoch (evaluating, scoring, saving). Epochs have `epoch_steps` steps."""

    def __init__(self, epoch_steps: int) -> None:
        self.epoch_steps = epoch_steps
        self.step_seconds = 0.0
        self.closing_seconds = 0.0
        self._seconds = self._steps = 0.0

    def note_steps(self, steps: int, seconds: float) -> None:
        """Some steps took so many seconds together.

        Seconds and steps are forgotten alike, so that a slow first step, which touches memory first, counts as one.
        """
        past = math.exp(-seconds / MEMORY_SECONDS)
        self._seconds, self._steps = past * self._seconds + seconds, past * self._steps + steps
        self.step_seconds = self._seconds / self._steps

    def steps_a_dispatch(self) -> int:
        """How many steps to send at once; one where nothing is known yet. It moves no number of the result."""
        return max(int(SECONDS_A_DISPATCH / self.step_seconds), 1) if self.step_seconds else 1

    def seconds_to(self, total: int, done: int) -> float:
        """Seconds from `done` steps to `total`, with the end of every epoch that is then begun."""
        closings = -(-total // self.epoch_steps) - done // self.epoch_steps
        return (total - done) * self.step_seconds + closings * self.closing_seconds

    def total_within(self, seconds: float, done: int) -> int:
        """The most steps, those that are `done` included, that fit into the seconds; at least `done`."""
        begun = done % self.epoch_steps
        from_epoch = steps_within(
            seconds + begun * self.step_seconds, self.step_seconds, self.closing_seconds, self.epoch_steps
        )
        return max(done - begun + from_epoch, done)


def steps_within(seconds: float, step_seconds: float, closing_seconds: float, epoch_steps: int) -> int:
    """The most steps, with an end of epoch after each epoch begun, that fit into the seconds (0 where none does)."""
    seconds = max(seconds, 0.0)
    epoch_seconds = epoch_steps * step_seconds + closing_seconds
    whole = int(seconds // epoch_seconds)
    rest = seconds - whole * epoch_seconds - closing_seconds
    return whole * epoch_steps + int(max(rest, 0.0) // step_seconds)
