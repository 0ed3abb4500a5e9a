"""A label is in doubt where a run that has not learned from it is as sure of another as it usually is."""

import numpy as np
import pytest

from corolla.doubts import doubts
from corolla.run import Predictions


def predictions(labels, rows) -> Predictions:
    return Predictions([f"train{i}" for i in range(len(rows))], np.array(labels), np.array(rows, np.float32))


def test_a_label_is_in_doubt_where_another_is_as_sure_as_its_own_usually_are():
    rows = [[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]
    found = doubts(predictions([0, 0, 0, 1, 1, 1], rows))
    assert [(each.id, each.label, each.likely) for each in found] == [("train2", 0, 1), ("train5", 1, 0)]
    assert found[0].likely_probability == pytest.approx(0.95)


def test_a_class_of_one_record_accuses_none():
    assert doubts(predictions([0, 0, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])) == []
