"""The order of records: every one exactly once an epoch, whatever the numbers, as a pure function of (seed, epoch)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from corolla.order import DRAWS, Lanes, epoch_order, sequential

sizes = st.tuples(st.integers(1, 300), st.integers(1, 64)).map(lambda pair: Lanes(*pair))
seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 10_000)


def seen(lanes: Lanes, picks: np.ndarray) -> list[int]:
    """Return the records (counted from 1) that the steps read, step by step, padding left out."""
    placed = lanes.place(np.arange(1, lanes.n + 1))
    read = np.take_along_axis(placed, picks, axis=1).T.ravel()
    return [int(record) for record in read if record]


@given(sizes, seeds, epochs)
def test_every_record_comes_exactly_once_an_epoch(lanes, seed, epoch):
    assert sorted(seen(lanes, epoch_order(lanes, seed, epoch).picks)) == list(range(1, lanes.n + 1))
    assert sorted(seen(lanes, sequential(lanes).picks)) == list(range(1, lanes.n + 1))


@given(sizes, seeds, epochs)
def test_an_epoch_has_no_empty_step_and_no_more_steps_than_needed(lanes, seed, epoch):
    """A step without a record would divide by zero."""
    assert (lanes.steps - 1) * lanes.batch_size < lanes.n <= lanes.steps * lanes.batch_size
    weights = np.take_along_axis(lanes.weights(), epoch_order(lanes, seed, epoch).picks, axis=1)
    assert weights.sum(axis=0).min() >= 1
    assert weights.sum() == lanes.n


@given(sizes, seeds, epochs)
def test_order_is_a_function_of_seed_and_epoch(lanes, seed, epoch):
    once, again = epoch_order(lanes, seed, epoch), epoch_order(lanes, seed, epoch)
    np.testing.assert_array_equal(once.picks, again.picks)
    np.testing.assert_array_equal(once.draws, again.draws)
    assert once.picks.dtype == np.int32 and once.draws.dtype == np.float32
    assert once.draws.shape == (lanes.batch_size, lanes.steps, DRAWS)
    assert once.draws.min() >= 0 and once.draws.max() < 1


def test_order_never_changes():
    """Runs that began with an older version must go on in the same order."""
    order = epoch_order(Lanes(23, 4), seed=5, epoch=2)
    assert order.picks.tolist() == [[0, 2, 5, 4, 3, 1], [3, 5, 2, 0, 1, 4], [0, 4, 2, 1, 5, 3], [4, 2, 3, 0, 5, 1]]
    assert order.draws[3, 5, :2].tolist() == [0.1707800030708313, 0.09068864583969116]


def test_epochs_and_seeds_differ():
    lanes = Lanes(500, 10)
    orders = [epoch_order(lanes, seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one.picks != other.picks).mean() > 0.9
            assert (one.draws != other.draws).mean() > 0.9


def test_lanes_walk_in_orders_of_their_own():
    picks = epoch_order(Lanes(500, 10), 0, 1).picks
    assert len({tuple(row) for row in picks.tolist()}) == 10


@given(sizes, st.integers(1, 3), st.integers(0, 5))
def test_flatten_is_the_inverse_of_place(lanes, width, more_lanes):
    """Also with lanes that were added because the devices need them."""
    values = np.random.default_rng(0).random((lanes.n, width))
    placed = lanes.place(values)
    assert placed.shape == (lanes.batch_size, lanes.steps, width)
    padded = np.concatenate([placed, np.ones((more_lanes, *placed.shape[1:]))])
    np.testing.assert_array_equal(lanes.flatten(padded), values)
    assert np.all(placed.reshape(-1, width)[lanes.n :] == 0)


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 99), st.integers(1, 9))
def test_records_come_as_often_as_their_shares_say(n, batch_size, seed, epoch):
    lanes = Lanes(n, batch_size)
    shares = np.random.default_rng(seed).gamma(1, size=n) + 1e-3
    picks = epoch_order(lanes, seed, epoch, shares).picks
    placed, weights = lanes.place(shares), lanes.weights()
    for lane in range(batch_size):
        count = int(weights[lane].sum())
        times = np.bincount(picks[lane], minlength=lanes.steps)
        wanted = placed[lane] * count / placed[lane].sum() if count else placed[lane]
        assert (np.abs(times - wanted)[:count] < 1 + 1e-6).all()  # rounded up or down
        assert (times[count:] == 1).all()  # padding as ever


def test_equal_shares_are_each_record_once_and_unequal_ones_differ_by_epoch():
    lanes = Lanes(40, 4)
    once = epoch_order(lanes, 3, 1, np.ones(40))
    assert (np.sort(once.picks, axis=1) == np.arange(10)).all()
    np.testing.assert_array_equal(once.draws, epoch_order(lanes, 3, 1).draws)
    shares = np.arange(1.0, 41)
    first, second = (np.sort(epoch_order(lanes, 3, epoch, shares).picks, axis=1) for epoch in (1, 2))
    assert (first != second).any()
