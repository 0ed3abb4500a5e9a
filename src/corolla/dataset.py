"""A split as Keras takes it: `load_split(...)` goes into `fit`, `evaluate` and `predict` of any `keras.Model`.

Takes: a data folder and the name of a split.
Gives: `Dataset`, a `keras.utils.PyDataset` of (images, labels, weights), decoded once, augmented on the device.

Every batch is full. Places beyond the last record have weight 0, so a mean over weights is right, nothing is dropped,
and a distribution over several devices never meets a batch that it cannot divide.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import augment
from corolla.backend import compiled, keras
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.images import load_split as load_photos
from corolla.order import EpochOrder, Lanes, epoch_order, sequential
from corolla.records.shards import find_split
from corolla.storage import AnyPath
from corolla.types import OnBadRecord, Photos, Split

Batch = tuple[Any, NDArray[np.int32], NDArray[np.float32]]
"""Images float32[b, image_size, image_size, 3] in 0..255, labels int32[b] (0 where the split has none), weights."""

Look = Callable[[NDArray[np.uint8], NDArray[np.float32]], Any]
Order = Callable[[Lanes, int], EpochOrder]


class Dataset(keras.utils.PyDataset):
    """Photos in batches.

    ids: their names; labels: int32[n], or None; photos: n of them. Augmented, they come in the order and with the crops
    of Corolla's own loops, other ones each epoch. Else they come in the order of the records, and `predict` gives rows
    for padding too: take the first `len(dataset.ids)`.
    """

    def __init__(self, photos: Photos, batch_size: int, look: Look, order: Order | None) -> None:
        """look: makes a batch's images of (pixels, draws). order: of an epoch by its number; None: as they come."""
        super().__init__()
        self.ids, self.labels = photos.ids, photos.labels
        self._images, self._lanes, self._look = photos.images, Lanes(len(photos), batch_size), look
        self._order_of, self._epoch = order, 1
        self._order = order(self._lanes, 1) if order else sequential(self._lanes)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._lanes.steps

    def __getitem__(self, index: int) -> Batch:
        """One batch."""
        lanes = np.arange(self._lanes.batch_size)
        if self._order_of:
            places = lanes * self._lanes.steps + self._order.picks[:, index]
        else:
            places = index * self._lanes.batch_size + lanes
        rows = np.minimum(places, self._lanes.n - 1)
        labels = np.zeros(len(rows), np.int32) if self.labels is None else self.labels[rows]
        weights = (places < self._lanes.n).astype(np.float32)
        return self._look(self._images[rows], self._order.draws[:, index]), labels, weights

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        self._epoch += 1
        if self._order_of:
            self._order = self._order_of(self._lanes, self._epoch)


def load_split(
    data: AnyPath | str,
    split: Split,
    *,
    image_size: int = 224,
    batch_size: int = 32,
    augmented: bool | None = None,
    augmentation: Augmentation = CROP_AND_FLIP,
    seed: int = 0,
    on_bad_record: OnBadRecord = "fail",
) -> Dataset:
    """Read, check and decode a split of TFRecords for Keras.

    data: a folder with train/ val/ test/, or with tfrecords-jpeg-SxS folders. image_size: side of the images [px].
    augmented: shuffled and changed at random, as `augmentation` says; by default `train` is, the others are not.
    Raises DataError and WishError; ValueError for an augmentation that mixes images, which only `corolla train` does.
    """
    if augmentation.mixes:
        raise ValueError("load_split mixes no images: leave mixup and cutmix at 0")
    augmented = split == "train" if augmented is None else augmented
    files = find_split(data, split, image_size)
    photos = load_photos(files, on_bad_record=on_bad_record, labels="maybe" if split == "test" else "need")
    if not augmented:
        return Dataset(photos, batch_size, compiled(lambda images, draws: augment.resize(images, image_size)), None)

    def look(images: Any, draws: Any) -> Any:
        return augment.augment(images, draws, image_size, augmentation)

    return Dataset(photos, batch_size, compiled(look), lambda lanes, epoch: epoch_order(lanes, seed, epoch))
