"""Charts are well formed, tell their numbers, and are the same every time."""

import xml.etree.ElementTree as ET

import pytest

from corolla.chart import COLOURS, Point, Series, against_diagonal, key, lines, number, part_key, parts, ticks

EVIL = 'a < b & "c"'
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 6, [0, 2, 4, 6]),
        (0.932, 0.981, [0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]),
        (0, 0, [0, 0.2]),
        (5, 5, [5, 6]),
        (0, 987, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_ticks_are_round_and_reach_over_all_values(low, high, wanted):
    found = ticks(low, high)
    assert found[0] <= low and found[-1] >= high
    assert found == pytest.approx(wanted)


def test_a_line_has_its_points_and_its_words():
    made = lines([Series(EVIL, [0, 1, 2], [3.5, 2.5, 1.25], 7, marked=1), Series("b", [0, 2], [1, 2])], "epoch", "loss")
    drawn = ET.fromstring(made)
    circles = drawn.findall(f".//{SVG}circle")
    assert [one.get("r") for one in circles] == ["2.4", "4.5", "2.4", "2.4", "2.4"]
    assert circles[0].find(f"{SVG}title").text == f"{EVIL}, epoch 0: 3.5"
    assert drawn.get("aria-label") == f"loss by epoch: {EVIL} from 3.5 to 1.25; b from 1 to 2"
    heights = [float(one.get("cy")) for one in circles[:3]]
    assert heights == sorted(heights) and f"k{7 % COLOURS}" in made
    assert made == lines(
        [Series(EVIL, [0, 1, 2], [3.5, 2.5, 1.25], 7, marked=1), Series("b", [0, 2], [1, 2])], "epoch", "loss"
    )


def test_a_line_of_one_point():
    ET.fromstring(lines([Series("a", [0], [0.5])], "epoch", "F1"))


def test_parts_are_as_long_as_they_are_large():
    drawn = ET.fromstring(parts([("one", [3, 1]), (EVIL, [1, 1])], ["x", "y"], "s"))
    long = [float(one.get("width")) for one in drawn.findall(f"{SVG}rect")]
    assert long[0] == pytest.approx(3 * long[1], abs=0.2) and long[1] == pytest.approx(long[2], abs=0.2)
    assert EVIL in drawn.get("aria-label")
    ET.fromstring(parts([("one", [0.0, 0.0])], ["x", "y"], "s"))


def test_points_beside_the_diagonal():
    drawn = ET.fromstring(against_diagonal([Point(0.5, 0.75, 0.7, 0.8, EVIL)], "confidence", "right", "told"))
    circle = drawn.find(f".//{SVG}circle")
    assert circle is not None and circle.find(f"{SVG}title").text == EVIL


def test_keys_and_numbers():
    assert "dash" in key([Series("a", [], [], dashed=True)]) and "&lt;" in part_key(["<"])
    assert [number(value) for value in (12345.6, 0.98765, 3.0)] == ["12,346", "0.9877", "3"]
