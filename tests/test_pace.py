"""Arithmetic of the clock: how many steps fit into a time, and how many go into one dispatch."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.pace import SECONDS_A_DISPATCH, Pace, steps_within

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
    pace = Pace(10)
    assert pace.steps_a_dispatch() == 1
    pace.note_steps(1, 0.1)
    assert pace.steps_a_dispatch() == int(SECONDS_A_DISPATCH / 0.1)
    for _ in range(30):
        pace.note_steps(30, 60.0)
    assert pace.step_seconds == pytest.approx(2, rel=0.01) and pace.steps_a_dispatch() == 1
    for _ in range(30):
        pace.note_steps(1, 1000.0)
    assert pace.steps_a_dispatch() == 1


def test_a_slow_first_step_is_soon_outweighed():
    """It used to rule for a minute, in dispatches of two or three steps."""
    pace, spent = Pace(1000), 0.0
    pace.note_steps(1, 1.5)
    for _ in range(7):
        steps = pace.steps_a_dispatch()
        pace.note_steps(steps, 0.01 * steps)
        spent += 0.01 * steps
    assert pace.step_seconds < 0.015 and spent < 10


@given(st.floats(0, 5_000), seconds, seconds, st.integers(1, 500), st.integers(0, 3000))
def test_the_total_within_a_time_fills_it_wherever_the_run_stands(left, step, closing, epoch_steps, done):
    pace = Pace(epoch_steps)
    pace.step_seconds, pace.closing_seconds = step, closing
    total = pace.total_within(left, done)
    room = 1e-9 * (left + step + closing) * (epoch_steps + done + 1)
    assert total >= done
    assert total == done or pace.seconds_to(total, done) <= left + room
    assert pace.seconds_to(total + 1, done) > left - room


def test_the_end_of_an_epoch_counts_once():
    pace = Pace(10)
    pace.step_seconds, pace.closing_seconds = 1, 2
    assert [pace.seconds_to(total, 5) for total in (5, 9, 10, 11, 20)] == [2, 6, 7, 10, 19]
    assert [pace.seconds_to(total, 10) for total in (10, 11, 20)] == [0, 3, 12]
