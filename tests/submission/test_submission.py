"""A submission's faults are told before it is sent in; two of them are compared photo by photo."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.classes import COUNT
from corolla.errors import DataError
from corolla.run import Predictions
from corolla.submission import check, diff, diff_page
from corolla.submission.checking import drift
from corolla.submission.reading import label_fault, read

IDS = [f"test{i:04d}" for i in range(10)]
ROWS = [f"{name},{i % 6}" for i, name in enumerate(IDS)]


@pytest.fixture
def written(tmp_path):
    """Write a file of these lines, and return its path."""

    def write(lines, name="submission.csv", header="id,label", newline="\n", mark=b""):
        path = tmp_path / name
        path.write_bytes(mark + newline.join([header, *lines, ""]).encode())
        return path

    return write


def test_a_good_one(written, tiny_data):
    found = check(written(ROWS), tiny_data)
    assert found.ok and found.rows == 10 and not found.warnings and len(found.never_called) == COUNT - 6
    assert found.drift is not None and found.drift.distance <= found.drift.limit
    assert json.loads(json.dumps(found.to_json()))["ok"]


FAULTS = {
    "a missing id": (ROWS[1:], "1 ids of the data have no usable row: 'test0000'"),
    "a stranger": ([*ROWS, "x,1"], "1 ids are not among the data: 'x'"),
    "an id twice": ([*ROWS, ROWS[3]], "an id for the second time: line 12 'test0003,3'"),
    "a high label": ([*ROWS[:9], "test0009,104"], "a label outside 0 to 103: line 11 'test0009,104'"),
    "a low label": ([*ROWS[:9], "test0009,-1"], "a label outside 0 to 103"),
    "a fraction": ([*ROWS[:9], "test0009,4.0"], "a label with a decimal point"),
    "a name": ([*ROWS[:9], "test0009,sweet pea"], "a name for a label"),
    "no label": ([*ROWS[:9], "test0009,"], "no label"),
    "no number": ([*ROWS[:9], "test0009,1e1"], "a label that is no number"),
    "three columns": ([*ROWS[:9], "test0009,1,2"], "not two columns"),
    "no id": ([*ROWS[:9], ",1"], "no id"),
    "spaces": ([*ROWS[:9], "test0009, 1"], "spaces around the id or the label"),
    "no rows": ([], "holds no row below the header"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_rows(fault, written, tiny_data):
    lines, wanted = FAULTS[fault]
    found = check(written(lines), tiny_data)
    assert not found.ok and any(wanted in line for line in found.faults), found.faults


def test_faults_of_the_file(written, tiny_data, tmp_path):
    for path, wanted in (
        (written(ROWS, "a", header="id,class"), "the header is 'id,class', wanted 'id,label'"),
        (written(ROWS, "b", header="test9999,1"), "the header is 'test9999,1'"),
        (written(ROWS, "c", mark=b"\xef\xbb\xbf"), "begins with a byte order mark"),
        (written([], "d", header=""), "the file is empty"),
        (written(ROWS, "e", mark=b"\xff"), "is no UTF-8 text"),
    ):
        found = check(path, tiny_data)
        assert not found.ok and any(wanted in line for line in found.faults), found.faults
    with pytest.raises(DataError, match="cannot be read"):
        check(tmp_path / "nowhere.csv", tiny_data)


def test_columns_the_other_way_round_are_one_fault(written, tiny_data):
    lines = [",".join(row.split(",")[::-1]) for row in ROWS]
    assert len(check(written(lines, header="label,id"), tiny_data).faults) == 1


def test_odd_but_taken(written, tiny_data):
    found = check(written([*ROWS, ""], newline="\r\n"), tiny_data)
    assert found.ok and len(found.warnings) == 2 and "CRLF" in found.warnings[0]


def test_the_sample_has_the_last_word(written, tiny_data):
    sample = tiny_data / "sample_submission.csv"
    sample.write_text("\n".join(["id,label", *(f"{name},0" for name in reversed(IDS))]))
    found = check(written(ROWS), tiny_data)
    assert found.ok and "another order" in found.warnings[0]
    sample.write_text("id,label\nother,0\n")
    assert "11 ids differ from those of sample_submission.csv" in check(written(ROWS), tiny_data).faults


def test_one_class_for_all_is_odd(written, tiny_data):
    found = check(written([f"{name},0" for name in IDS]), tiny_data)
    assert found.ok and "classes differ from train's: 83.3% of the photos" in found.warnings[0]


def test_drift_is_the_total_variation_distance():
    found = drift(np.array([50, 30, 20]), np.array([40, 30, 30]))
    assert found.distance == pytest.approx(0.1) and 0 < found.expected < found.limit
    assert {moved[0] for moved in found.moved[:2]} == {0, 2}
    assert drift(np.array([500, 300, 200]), np.array([50, 30, 20])).distance == 0


def test_draws_from_train_are_rarely_called_drift():
    random, train = np.random.default_rng(0), np.array([400, 300, 200, 100])
    found = [drift(train, random.multinomial(100, train / 1000)) for _ in range(200)]
    assert sum(each.distance > each.limit for each in found) <= 8


def test_the_score_to_expect(written, tiny_data, tmp_path):
    rows = np.full((10, COUNT), 1e-9, np.float32)
    rows[np.arange(10), np.arange(10) % 6] = 1
    Predictions(IDS, np.zeros(10, int), rows / rows.sum(axis=1, keepdims=True)).write(tmp_path / "p.npz")
    found = check(written(ROWS), tiny_data, predictions=[tmp_path / "p.npz"])
    assert found.expected_macro_f1 == pytest.approx(6 / COUNT, abs=1e-3)
    assert found.temperature is None and "taken as they are" in found.warnings[-1]
    Predictions(IDS[:9], np.zeros(9, int), rows[:9] / rows[:9].sum(axis=1, keepdims=True)).write(tmp_path / "q.npz")
    with pytest.raises(DataError, match="do not know 1 ids"):
        check(written(ROWS), tiny_data, predictions=[tmp_path / "q.npz"])


def test_other_records_calibrate(written, tiny_data, tmp_path):
    """Probabilities that are far too sure promise less when records that prove it stand beside them."""
    random = np.random.default_rng(0)
    rows = np.full((210, COUNT), 0.01 / (COUNT - 1), np.float32)
    rows[np.arange(210), np.arange(210) % 6] = 0.99
    labels = np.where(random.random(210) < 0.5, np.arange(210) % 6, random.integers(0, 6, 210))
    Predictions([*IDS, *map(str, range(200))], labels, rows).write(tmp_path / "p.npz")
    found = check(written(ROWS), tiny_data, predictions=[tmp_path / "p.npz"])
    assert found.temperature is not None and found.temperature > 1.2
    assert found.expected_macro_f1 is not None and found.expected_macro_f1 < 0.9 * 6 / COUNT


@given(st.text(max_size=12))
def test_any_text_is_a_label_or_a_fault(text):
    if label_fault(text) == "":
        assert 0 <= int(text) < COUNT


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "s.csv"
    path.write_bytes(content)
    found = read(path)
    assert found.faults or found.labels


# ---------------------------------------------------------------------------------------------------------------- diff


def test_what_moved(written, tiny_data):
    other = written([*(row.replace(",1", ",5") for row in ROWS[:9]), "only,1"], "other.csv")
    found = diff(written(ROWS), other)
    assert len(found.ids) == 9 and found.only == (1, 1) and found.moved() == [(1, 5, 2)]
    assert found.agreement == pytest.approx(7 / 9)
    assert found.classes() == [(1, 2, 0, 0), (5, 1, 3, 1)]
    told = json.loads(json.dumps(found.to_json()))
    assert [each["id"] for each in told["moved"]] == ["test0001", "test0007"]
    page = diff_page(found, tiny_data).decode()
    assert page.count("<img") == 2 and "hard-leaved pocket orchid" in page and "<script" not in page
    assert diff_page(found).decode().count("<img") == 0


def test_the_same_twice(written):
    found = diff(written(ROWS), written(ROWS, "b.csv"))
    assert found.agreement == 1 and not found.moved() and not found.classes()


def test_what_cannot_be_compared(written, tiny_data):
    with pytest.raises(DataError, match="no id in common"):
        diff(written(ROWS), written(["x,1"], "b.csv"))
    with pytest.raises(DataError, match=r"b\.csv: a label outside 0 to 103: .*: see `corolla submission check`"):
        diff(written(ROWS), written(["x,104"], "b.csv"))
    moved = diff(written(["x,1"]), written(["x,2"], "b.csv"))
    with pytest.raises(DataError, match="holds none of the 1 photos"):
        diff_page(moved, tiny_data)
