"""Seconds by section: they add up, survive a restart, and count also what failed."""

import os
import subprocess
import sys
import time

import pytest

from corolla.clock import Clock, process_seconds


def test_sections_add_up_and_are_kept_apart():
    clock = Clock()
    for _ in range(2):
        with clock.section("train"):
            time.sleep(0.02)
    clock.add("compile", 1.0)
    clock.add("compile", 0.5)
    assert clock.seconds["compile"] == 1.5
    assert 0.04 <= clock.seconds["train"] < 1.0
    assert set(clock.seconds) == {"train", "compile"}


def test_a_section_that_failed_took_its_time_too():
    clock = Clock()
    with pytest.raises(ValueError), clock.section("save"):
        time.sleep(0.01)
        raise ValueError
    assert clock.seconds["save"] >= 0.01


def test_a_clock_goes_on_where_another_stopped():
    before = {"train": 10.0}
    clock = Clock(before)
    clock.add("train", 1.2346)
    assert clock.rounded() == {"train": 11.235}
    assert before == {"train": 10.0}


def test_the_age_of_the_process_counts_its_imports():
    """Half a second of work before Corolla is imported belongs to a time-boxed run."""
    program = """
import time
while time.process_time() < 0.5: pass
from corolla.clock import process_seconds
print(process_seconds())
"""
    begin = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    tick = 1 / os.sysconf("SC_CLK_TCK")  # the system tells a process' start to the tick
    assert 0.5 <= float(printed) <= time.perf_counter() - begin + tick


def test_the_age_of_the_process_grows_with_the_clock_on_the_wall():
    before = process_seconds()
    time.sleep(0.05)
    assert 0.05 <= process_seconds() - before < 1
