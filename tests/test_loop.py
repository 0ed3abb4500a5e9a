"""The loop's arithmetic: how many steps fit into a time, and how many go into one dispatch."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.loop import SECONDS_A_DISPATCH, _Pace, steps_within

seconds = st.floats(0.001, 1000)


def cost(steps: int, step_seconds: float, evaluation_seconds: float, epoch_steps: int) -> float:
    """Seconds of so many steps, with an evaluation after each epoch that was begun."""
    return steps * step_seconds + math.ceil(steps / epoch_steps) * evaluation_seconds


@given(st.floats(0, 10_000), seconds, st.floats(0, 1000), st.integers(1, 500))
def test_steps_fill_the_time_and_never_exceed_it(left, step, evaluation, epoch_steps):
    steps = steps_within(left, step, evaluation, epoch_steps)
    room = 1e-9 * (left + step + evaluation) * epoch_steps
    assert steps >= 0
    assert steps == 0 or cost(steps, step, evaluation, epoch_steps) <= left + room
    assert cost(steps + 1, step, evaluation, epoch_steps) > left - room


@pytest.mark.parametrize(
    ("left", "wanted"), [(-5, 0), (0, 0), (2.9, 0), (3, 1), (5, 3), (11.9, 9), (12, 10), (14, 10), (15, 11), (24, 20)]
)
def test_steps_of_one_second_and_evaluations_of_two(left, wanted):
    assert steps_within(left, 1, 2, 10) == wanted


def test_pace_finds_out_what_a_step_takes_and_never_stands_still():
    pace = _Pace()
    assert pace.steps() == 1
    pace.note(1, 0.1)
    assert pace.steps() == int(SECONDS_A_DISPATCH / 0.1)
    pace.note(30, 60.0)
    assert pace.steps() == 1
    pace.note(1, 1000.0)
    assert pace.steps() == 1
