"""Neighbours are those of a comparison of each with each; with cells hardly one is missed, and none is invented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.likeness import neighbours as module
from corolla.likeness.neighbours import neighbours


def unit(n: int, d: int = 16, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Vectors around a few directions."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(10, d))[random.integers(0, 10, n)] + spread * random.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def each_with_each(rows: np.ndarray, limit: float) -> set[tuple[int, int]]:
    alike = np.triu(rows @ rows.T, 1)
    return set(zip(*(part.tolist() for part in np.nonzero(alike >= limit)), strict=True))


def found(pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@given(st.integers(0, 60), st.integers(0, 9), st.floats(0.3, 0.95))
def test_few_are_compared_each_with_each(n, seed, limit):
    rows = unit(n, seed=seed) if n else np.empty((0, 16), np.float32)
    pairs = neighbours(rows, limit)
    near_the_limit = {
        (i, j) for i, j in found(pairs) ^ each_with_each(rows, limit) if abs(rows[i] @ rows[j] - limit) > 1e-5
    }
    assert not near_the_limit and (pairs.first < pairs.second).all() and (pairs.view == -1).all()


def test_cells_miss_hardly_any_and_invent_none(monkeypatch):
    monkeypatch.setattr(module, "SMALL", 100)
    monkeypatch.setattr(module, "BLOCK", 700)
    rows = unit(2000, spread=0.5)
    rows[1000:1200] = rows[:200] + 0.02 * np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    wanted, pairs = each_with_each(rows, 0.97), found(neighbours(rows, 0.97))
    assert (
        pairs <= each_with_each(rows, 0.97 - 1e-5) and len(wanted & pairs) >= 0.99 * len(wanted) and len(wanted) > 150
    )
    assert found(neighbours(rows, 0.97)) == pairs  # the same every time


def test_the_best_view_of_a_pair_is_told():
    rows = unit(6, seed=3)
    turned = {0: np.roll(rows, 1, axis=1), 1: rows[:, ::-1]}
    rows[5] = turned[1][2]
    pairs = neighbours(rows, 0.99, 2, lambda view, first, last: turned[view][first:last])
    place = [(i, j) for i, j in zip(pairs.first, pairs.second, strict=True)].index((2, 5))
    assert pairs.view[place] == 1 and pairs.similarity[place] == pytest.approx(1, abs=1e-5)
    assert not pairs.turned[place]  # the view was of 2, which is the first of the pair


def test_whose_view_it_was_is_told():
    """Two that are equal in a view of one of them alone."""
    rows = unit(5, seed=4)
    for viewed, other in ((4, 1), (1, 4)):
        seen = rows.copy()
        seen[viewed] = rows[other]
        pairs = neighbours(rows, 0.99, 1, lambda _, first, last, seen=seen: seen[first:last])
        assert found(pairs) == {(1, 4)} and pairs.turned.tolist() == [viewed == 4]


def test_nothing_is_like_a_vector_of_zeros():
    rows = unit(4)
    rows[1:3] = 0
    assert (1, 2) not in found(neighbours(rows, 0.5))
