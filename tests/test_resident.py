"""Pixels on the devices: a stream hands out exactly what the resident feed does, in any chunks and at any pace."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.layout import Format, Layout

from corolla import inference, resident
from corolla.errors import WishError
from corolla.mesh import make_mesh, split
from corolla.order import Lanes, epoch_order, sequential
from corolla.resident import ResidentFeed, StreamFeed, fits, make_feed, stays
from corolla.step import Batch, gather, train_steps
from corolla.types import Photos
from flow import SIDE, assert_equal_trees, photos, small_learner, start

MESH = make_mesh()
PHOTO_BYTES = SIDE * SIDE * 3
read = jax.jit(gather, static_argnums=3)


def batches(feed, lanes: Lanes, pace: int, mixes: bool = False) -> list:
    """Every step's batch of an epoch, taken `pace` steps at a time."""
    found, first = [], 0
    while first < lanes.steps:
        part = feed.take(first, min(first + pace, lanes.steps))
        assert 0 < part.last - part.first <= pace
        found += [jax.device_get(read(part.pixels, part.steps, step, mixes)) for step in range(part.first, part.last)]
        first += part.last - part.first
    assert first == lanes.steps
    return found


def assert_same_batches(one: list, other: list) -> None:
    """Equal to the bit; the labels of padding aside, which nobody reads."""
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.weights, second.weights)
        np.testing.assert_array_equal(first.labels * first.weights, second.labels * second.weights)
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.draws, second.draws)
        if first.others is not None:
            real = first.weights > 0
            for one, other in zip(first.others, second.others, strict=True):
                np.testing.assert_array_equal(one[real], other[real])


@pytest.mark.parametrize("order_of", [lambda lanes: epoch_order(lanes, 3, 1), sequential])
def test_batches_are_what_the_order_says(order_of):
    data, lanes = photos(23), Lanes(23, 5)
    order, feed = order_of(lanes), ResidentFeed(MESH, lanes, data)
    feed.start(order)
    places = lanes.place(np.arange(23) + 1)
    for step, padded in enumerate(batches(feed, lanes, 2)):
        batch = Batch(*(value[:5] for value in padded[:4]))  # two devices have a place more
        assert not padded.weights[5:].any()
        rows = np.take_along_axis(places, order.picks, axis=1)[:, step] - 1
        real = rows >= 0
        np.testing.assert_array_equal(batch.weights, np.float32(real))
        np.testing.assert_array_equal(batch.images[real], data.images[rows[real]])
        np.testing.assert_array_equal(batch.labels[real], data.labels[rows[real]])
        np.testing.assert_array_equal(batch.draws, order.draws[:, step])
        np.testing.assert_array_equal(batch.images[~real], np.broadcast_to(data.images[-1], batch.images[~real].shape))


@settings(max_examples=12)
@given(
    st.integers(1, 30),
    st.sampled_from([1, 4, 7]),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 99),
    st.booleans(),
)
def test_a_stream_hands_out_the_same(n, batch_size, chunk_steps, pace, seed, mixes):
    """Chunks that divide the steps and chunks that do not; a pace that fits the chunks and one that does not."""
    data, lanes = photos(n), Lanes(n, batch_size)
    whole = ResidentFeed(MESH, lanes, data)
    stream = StreamFeed(MESH, lanes, data, chunk_bytes=chunk_steps * batch_size * PHOTO_BYTES, mixes=mixes)
    assert stream.chunk_steps == min(chunk_steps, lanes.steps)
    for epoch in (1, 2):  # the second one must not see what was sent ahead for the first
        for feed in (whole, stream):
            feed.start(epoch_order(lanes, seed, epoch))
        assert_same_batches(batches(whole, lanes, pace, mixes), batches(stream, lanes, pace, mixes))


def test_a_stream_may_start_in_the_middle_and_again():
    """As after a resumption, and after the steps that a time-boxed run measures."""
    data, lanes = photos(40), Lanes(40, 4)
    whole, stream = ResidentFeed(MESH, lanes, data), StreamFeed(MESH, lanes, data, 3 * 4 * PHOTO_BYTES)
    for feed in (whole, stream):
        feed.start(epoch_order(lanes, 0, 1))
    for first in (7, 0, 3, 2, 9, 0):
        (one,), (other,) = (
            [jax.device_get(read(part.pixels, part.steps, part.first, False))]
            for part in (feed.take(first, first + 1) for feed in (whole, stream))
        )
        assert_same_batches([one], [other])


def test_a_chunk_holds_at_least_a_step_and_never_too_many_bytes():
    data, lanes = photos(40), Lanes(40, 4)
    assert StreamFeed(MESH, lanes, data, chunk_bytes=1).chunk_steps == 1
    stream = StreamFeed(MESH, lanes, data, chunk_bytes=1000)
    assert stream.chunk_steps == 1000 // (4 * PHOTO_BYTES)
    assert StreamFeed(MESH, lanes, data).chunk_steps == lanes.steps


def test_what_was_sent_ahead_is_used(monkeypatch):
    """Each chunk is gathered once an epoch, and before it is asked for."""
    data, lanes, sent = photos(40), Lanes(40, 4), []
    stream = StreamFeed(MESH, lanes, data, 4 * 4 * PHOTO_BYTES)
    chunk = stream._chunk
    monkeypatch.setattr(stream, "_chunk", lambda number: (sent.append(number), chunk(number))[1])
    stream.start(sequential(lanes))
    batches(stream, lanes, 1)
    assert sent == [0, 1, 2]


def test_a_split_without_labels(monkeypatch):
    data = Photos("test", photos(9).images, None, photos(9).ids)
    for resident_wish in (True, False):
        feed = make_feed(MESH, Lanes(9, 4), data, resident_wish)
        assert feed.resident is resident_wish
        feed.start(sequential(feed.lanes))
        found = batches(feed, feed.lanes, 9)
        assert all(batch.labels.tolist() == [0] * len(batch.labels) for batch in found)
        np.testing.assert_array_equal(found[1].images[0], data.images[1])


@pytest.mark.parametrize("chunk_steps", [2, 3])
def test_streaming_trains_the_same_weights(chunk_steps, resident_weights):
    """Five steps, of which chunks of two and of three leave a rest."""
    assert_equal_trees(
        resident_weights,
        epoch_of(StreamFeed(MESH, *LANES_AND_PHOTOS, chunk_steps * 5 * PHOTO_BYTES)),
        rtol=1e-6,
        atol=1e-7,
    )


LANES_AND_PHOTOS = (Lanes(23, 5), photos(23))


def epoch_of(feed):
    """State and sums after an epoch."""
    learner = small_learner("batch", dropout=0.3)
    program, (state, sums), first = train_steps(learner, MESH), start(learner), 0
    feed.start(epoch_order(feed.lanes, 0, 1))
    while first < feed.lanes.steps:
        part = feed.take(first, feed.lanes.steps)
        state, sums = program(state, sums, *part)
        first += part.last - part.first
    return jax.device_get((state, sums))


@pytest.mark.parametrize("make", [ResidentFeed, lambda *these: StreamFeed(*these, 2 * 5 * PHOTO_BYTES)])
def test_images_in_planes_as_tpus_read_them_are_the_same(make, resident_weights, monkeypatch):
    """The layout that a TPU is asked for, on these devices: the same weights, the same outputs."""
    monkeypatch.setattr(resident, "by_image", in_planes)
    monkeypatch.setattr(inference, "by_image", in_planes)
    feed = make(MESH, *LANES_AND_PHOTOS)
    feed.start(sequential(feed.lanes))
    assert feed.take(0, 1).pixels.images.format.layout.major_to_minor == (0, 1, 4, 2, 3)
    assert_equal_trees(resident_weights, epoch_of(feed), rtol=1e-6, atol=1e-7)
    model = small_learner("batch", dropout=0.3).model
    monkeypatch.setitem(inference.IMAGES_A_DISPATCH, "cpu", 5)  # so that it cuts what is resident
    seen = inference.Predictor(model, MESH, SIDE)(inference.values_of(model), feed)
    monkeypatch.undo()
    plain = inference.Predictor(model, MESH, SIDE)(inference.values_of(model), ResidentFeed(MESH, *LANES_AND_PHOTOS))
    np.testing.assert_allclose(seen, plain, rtol=1e-5, atol=1e-6)


def in_planes(mesh):
    return Format(Layout((0, 1, 4, 2, 3)), split(mesh))


@pytest.fixture(scope="module")
def resident_weights():
    return epoch_of(ResidentFeed(MESH, *LANES_AND_PHOTOS))


# ------------------------------------------------------------------------------------------------------ does it fit?


@pytest.fixture
def gigabytes_free(monkeypatch):
    monkeypatch.setattr(resident, "free_bytes", lambda mesh: 1e9)


@pytest.mark.parametrize(
    ("pixels", "wish", "wanted"),
    [(0.6e9, "auto", True), (0.61e9, "auto", False), (0.9e9, "yes", True), (1.0, "no", False), (5e9, "no", False)],
)
def test_fits(gigabytes_free, pixels, wish, wanted):
    assert fits(MESH, int(pixels), wish).resident is wanted


def test_a_tpu_keeps_less_for_they_are_laid_out_anew():
    assert stays(0.4, 1, "tpu") and not stays(0.41, 1, "tpu") and stays(0.6, 1, "gpu") and not stays(0.61, 1, "cpu")


def test_how_it_is_said(gigabytes_free):
    assert str(fits(MESH, 250_000_000, "auto")) == "resident: 0.25 GB of pixels, 1.0 GB free on the devices"
    wanted = "streaming from host memory: 7.00 GB of pixels, 1.0 GB free on the devices"
    assert str(fits(MESH, 7_000_000_000, "auto")) == wanted


def test_what_cannot_be_is_refused_with_a_way_out(gigabytes_free):
    with pytest.raises(WishError) as raised:
        fits(MESH, 1_500_000_000, "yes")
    assert str(raised.value) == (
        "--resident yes: 1.50 GB of pixels, but only 1.00 GB free on the devices; "
        "use --resident auto, or a smaller --image-size"
    )
