"""Pixels to the devices: all of them, once; or in chunks, where they do not fit.

Takes: `types.Photos` on the host, the mesh, the batch size.
Gives: a `Feed`, which hands the steps of an epoch to the compiled program part by part.

Both feeds hand out the same records in the same places with the same random numbers, so the numbers are equal either
way: a stream is a resident set of a few steps, already in order.
"""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import hosts
from corolla.errors import WishError
from corolla.mesh import by_image, free_bytes, own_places, platform, spread
from corolla.order import EpochOrder, Lanes
from corolla.step import Pixels, Steps
from corolla.types import Photos

RESIDENT_SHARE, RESIDENT_SHARE_TPU = 0.6, 0.4
"""Part of the free device memory that resident pixels may take; the rest is for activations and weights.

On a TPU they lie there twice for a moment, as they were sent and as programs read them, whose rows are padded: those of
224 pixels to 256 (`mesh.by_image`).
"""

CHUNK_BYTES = 256 * 2**20
"""Pixels sent in one chunk of a stream [bytes], over all devices. Two are alive at a time."""


class Part(NamedTuple):
    """Some steps, ready for `step.train_steps`: steps first to last - 1 of what lies on the devices."""

    pixels: Pixels
    steps: Steps
    first: int
    last: int


def padded_lanes(lanes: Lanes, mesh: Mesh) -> int:
    """Lanes on the devices: the batch size, rounded up so that every device holds equally many (the rest is empty)."""
    return -(-lanes.batch_size // mesh.size) * mesh.size


def own_records(mesh: Mesh, lanes: Lanes) -> tuple[int, int]:
    """The records, first to last - 1, that stand in the lanes of this process's devices.

    At least the last record of the split, which is what padding repeats.
    """
    first, last = own_places(mesh, padded_lanes(lanes, mesh))
    return min(first * lanes.steps, lanes.n - 1), min(last * lanes.steps, lanes.n)


def on_devices(mesh: Mesh, values: NDArray) -> jax.Array:
    """Split values[lanes, steps, ...] over the devices by lane, with 0 in the lanes that fill them up."""
    missing = -len(values) % mesh.size
    if missing:
        values = np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
    return spread(mesh, values)


def place_images(mesh: Mesh, lanes: Lanes, photos: Photos) -> jax.Array:
    """Put a split's pixels on the devices as uint8[lanes, steps, h, w, 3], one device's share at a time.

    Padding repeats the last record: its weight is 0, and a real photo does the least harm to batch statistics.
    """
    shape = (padded_lanes(lanes, mesh), lanes.steps, *photos.images.shape[1:])

    def share(index: tuple[slice, ...]) -> NDArray[np.uint8]:
        first, last, _ = index[0].indices(shape[0])
        end = last * lanes.steps
        if end <= lanes.n:  # a view: nothing is copied on the host
            rows = photos.images[first * lanes.steps - photos.first : end - photos.first]
        else:
            rows = photos.pixels(np.minimum(np.arange(first * lanes.steps, end), lanes.n - 1))
        return rows.reshape(last - first, *shape[1:])

    return jax.make_array_from_callback(shape, by_image(mesh), share)  # pyright: ignore


def taught(photos: Photos) -> NDArray:
    """What records teach: targets float32[n, classes] where a split has them, else labels int32[n], 0 without any."""
    if photos.targets is not None:
        return photos.targets
    return np.zeros(len(photos), np.int32) if photos.labels is None else photos.labels


def place(mesh: Mesh, lanes: Lanes, photos: Photos) -> Pixels:
    """Put a whole split on the devices."""
    return Pixels(
        place_images(mesh, lanes, photos),
        on_devices(mesh, lanes.place(taught(photos))),
        on_devices(mesh, lanes.weights()),
    )


def steps_on_devices(mesh: Mesh, order: EpochOrder) -> Steps:
    """Send an epoch's order to the devices (a few numbers an image)."""
    return Steps(*(on_devices(mesh, part) for part in (order.picks, order.draws, order.partners)))


def chunk_steps(lanes: Lanes, side: int, chunk_bytes: int) -> int:
    """Steps in a chunk of a stream of side x side pixels."""
    return min(max(chunk_bytes // (lanes.batch_size * side * side * 3), 1), lanes.steps)


class ResidentFeed:
    """All pixels stay on the devices; an epoch costs the transfer of its order."""

    resident = True

    def __init__(self, mesh: Mesh, lanes: Lanes, photos: Photos) -> None:
        self.mesh, self.lanes, self.side = mesh, lanes, photos.images.shape[1]
        self.pixels = place(mesh, lanes, photos)
        self._steps: Steps | None = None

    def start(self, order: EpochOrder) -> None:
        """Begin an epoch."""
        self._steps = steps_on_devices(self.mesh, order)

    def take(self, first: int, last: int) -> Part:
        """Hand out steps first to last - 1, all of them."""
        assert self._steps is not None, "start(order) comes before take"
        return Part(self.pixels, self._steps, first, last)


class StreamFeed:
    """Pixels stay on the host; chunks of a few steps are sent, the next one while the devices work."""

    resident = False

    def __init__(
        self, mesh: Mesh, lanes: Lanes, photos: Photos, chunk_bytes: int = CHUNK_BYTES, mixes: bool = False
    ) -> None:
        self.mesh, self.lanes, self.photos, self.side = mesh, lanes, photos, photos.images.shape[1]
        self._more = int(mixes)  # the last step of a chunk is mixed with the first of the next one
        self.chunk_steps = chunk_steps(lanes, self.side, chunk_bytes)
        self._weights, self._taught = lanes.weights(), taught(photos)
        self._order: EpochOrder | None = None
        self._next: tuple[int, Future[tuple[Pixels, Steps]]] | None = None
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="corolla-stream")

    def start(self, order: EpochOrder) -> None:
        """Begin an epoch."""
        self._order, self._next = order, None

    def take(self, first: int, last: int) -> Part:
        """Hand out steps from `first` on: at most to last - 1, at most a chunk."""
        number = first // self.chunk_steps
        if self._next is None or self._next[0] != number:
            self._next = (number, self._sender.submit(self._chunk, number))
        pixels, steps = self._next[1].result()
        end = min((number + 1) * self.chunk_steps, self.lanes.steps)
        if last >= end and end < self.lanes.steps:
            self._next = (number + 1, self._sender.submit(self._chunk, number + 1))
        start = number * self.chunk_steps
        return Part(pixels, steps, first - start, min(last, end) - start)

    def _chunk(self, number: int) -> tuple[Pixels, Steps]:
        """Gather chunk `number` on the host, in order, and send it. All chunks have one shape: one trace."""
        order = self._order
        assert order is not None, "start(order) comes before take"
        first = number * self.chunk_steps
        wanted = np.arange(first, first + self.chunk_steps + self._more)
        wanted %= self.lanes.steps  # the last step is mixed with the first; what comes after it nobody runs
        picks = order.picks[:, wanted]
        records = np.arange(self.lanes.batch_size)[:, None] * self.lanes.steps + picks
        records = np.minimum(records, self.lanes.n - 1)  # padding repeats the last record
        pixels = Pixels(
            self._images(records),
            on_devices(self.mesh, self._taught[records]),
            on_devices(self.mesh, np.take_along_axis(self._weights, picks, axis=1)),
        )
        here = np.broadcast_to(np.arange(len(wanted), dtype=np.int32), picks.shape)
        return pixels, steps_on_devices(self.mesh, EpochOrder(here, order.draws[:, wanted]))

    def _images(self, records: NDArray[np.int64]) -> jax.Array:
        """Send the pixels of records[batch_size, steps], one device's share at a time."""
        full = padded_lanes(self.lanes, self.mesh) - len(records)
        placed = np.concatenate([records, np.full((full, records.shape[1]), self.lanes.n - 1)])
        shape = (*placed.shape, *self.photos.images.shape[1:])

        def share(index: tuple[slice, ...]) -> NDArray[np.uint8]:
            return self.photos.pixels(placed[index[0]])

        return jax.make_array_from_callback(shape, by_image(self.mesh), share)  # pyright: ignore


Feed = ResidentFeed | StreamFeed


@dataclass(frozen=True)
class Fit:
    """Whether the pixels fit the devices."""

    resident: bool
    pixels_bytes: int
    free_bytes: int

    def __str__(self) -> str:
        has = f"{self.pixels_bytes / 1e9:.2f} GB of pixels, {self.free_bytes / 1e9:.1f} GB free on the devices"
        return f"resident: {has}" if self.resident else f"streaming from host memory: {has}"


def stays(pixels_bytes: float, free_bytes: float, platform: str) -> bool:
    """Whether pixels are kept on devices with so much free memory, by the rule of `--resident auto`."""
    return pixels_bytes <= (RESIDENT_SHARE_TPU if platform == "tpu" else RESIDENT_SHARE) * free_bytes


def fits(mesh: Mesh, pixels_bytes: int, wish: str) -> Fit:
    """Decide between resident and streaming. wish: auto, yes or no. Raises WishError for "yes" where it cannot be."""
    free = min(json.loads(one) for one in hosts.gather(json.dumps(free_bytes(mesh)).encode()))  # of the fullest host
    resident = wish == "yes" or (wish == "auto" and stays(pixels_bytes, free, platform(mesh)))
    if wish == "yes" and pixels_bytes > free:
        raise WishError(
            f"--resident yes: {pixels_bytes / 1e9:.2f} GB of pixels, but only {free / 1e9:.2f} GB free on the "
            "devices; use --resident auto, or a smaller --image-size"
        )
    return Fit(resident, pixels_bytes, free)


def make_feed(mesh: Mesh, lanes: Lanes, photos: Photos, resident: bool, mixes: bool = False) -> Feed:
    """The feed of a split. mixes: whether each step's images are mixed with those of the next step."""
    return ResidentFeed(mesh, lanes, photos) if resident else StreamFeed(mesh, lanes, photos, mixes=mixes)
