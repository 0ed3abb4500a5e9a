"""Stopping at a good moment: the first signal raises a flag, the second stops at once, and the handlers come back."""

import os
import signal
import threading

import pytest

from corolla.interrupt import stop_requested

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_raises_a_flag(number):
    before = [signal.getsignal(one) for one in BOTH]
    with stop_requested() as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
    assert [signal.getsignal(one) for one in BOTH] == before


@pytest.mark.parametrize("second", BOTH)
def test_the_second_signal_stops_at_once(second):
    before = [signal.getsignal(one) for one in BOTH]
    with pytest.raises(KeyboardInterrupt), stop_requested():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), second)
    assert [signal.getsignal(one) for one in BOTH] == before


def test_a_thread_is_never_asked_to_stop():
    """Only the main thread may handle signals; a library user may train in another."""
    before, answers = [signal.getsignal(one) for one in BOTH], []

    def run():
        with stop_requested() as stopping:
            answers.append(stopping())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert answers == [False] and [signal.getsignal(one) for one in BOTH] == before
