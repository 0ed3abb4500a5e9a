"""A split as Keras takes it: every record once, padding without weight, the order and the crops of the loops."""

import numpy as np
import pytest

import corolla
from corolla.augment import augment
from corolla.backend import keras
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.errors import DataError
from corolla.images import load_split as load_photos
from corolla.order import Lanes, epoch_order
from corolla.records.shards import find_split
from flow import SIZES


def test_the_package_offers_it_by_name():
    assert corolla.load_split.__module__ == "corolla.dataset" and "load_split" in corolla.__all__
    with pytest.raises(AttributeError, match=r"^module 'corolla' has no attribute 'load_splits'$"):
        _ = corolla.load_splits  # pyright: ignore


def test_unshuffled_the_records_come_in_order_and_padding_weighs_nothing(flowers):
    data = corolla.load_split(flowers, "val", image_size=32, batch_size=8)
    photos = load_photos(find_split(flowers, "val"))
    images, labels, weights = (
        np.concatenate(values) for values in zip(*(data[i] for i in range(len(data))), strict=True)
    )
    assert len(data) == 4 and len(images) == 32 and weights.sum() == SIZES["val"]
    np.testing.assert_array_equal(images[:26], photos.images.astype(np.float32))
    np.testing.assert_array_equal(labels[:26], photos.labels)
    np.testing.assert_array_equal(weights, np.arange(32) < 26)
    assert data.ids == photos.ids


def test_augmented_it_is_what_the_loops_see(flowers):
    data, photos = corolla.load_split(flowers, "train", image_size=32, batch_size=16, seed=3), None
    photos = load_photos(find_split(flowers, "train"))
    lanes = Lanes(30, 16)
    for epoch in (1, 2):
        order = epoch_order(lanes, 3, epoch)
        for step in range(2):
            places = np.arange(16) * 2 + order.picks[:, step]
            images, labels, weights = data[step]
            real = places < 30
            np.testing.assert_array_equal(weights, real)
            np.testing.assert_array_equal(labels[real], photos.labels[places[real]])
            wanted = augment(photos.images[places[real]], order.draws[real, step], 32, CROP_AND_FLIP)
            np.testing.assert_allclose(np.asarray(images)[real], wanted, atol=1e-3)
        data.on_epoch_end()


def test_another_augmentation(flowers):
    plain, bright = (
        corolla.load_split(flowers, "train", image_size=32, augmentation=how)[0][0]
        for how in (Augmentation(), Augmentation(brightness=0.5))
    )
    assert np.abs(np.asarray(plain) - np.asarray(bright)).mean() > 5
    with pytest.raises(ValueError, match="load_split mixes no images"):
        corolla.load_split(flowers, "train", augmentation=Augmentation(mixup=0.2))


def test_another_size_is_resized(flowers):
    assert np.asarray(corolla.load_split(flowers, "val", image_size=24, batch_size=8)[0][0]).shape == (8, 24, 24, 3)


def test_stock_keras_fits_evaluates_and_predicts(flowers):
    """`evaluate` over padded batches is scikit-learn's over the records."""
    train, val, test = (corolla.load_split(flowers, split, image_size=32, batch_size=8) for split in SIZES)
    model = corolla.classifier("micro", classes=6, image_size=32, weights="none")
    model.compile("adam", corolla.CrossEntropy(0.1), weighted_metrics=[corolla.Seen(6, 0.1)])
    model.fit(train, validation_data=val, epochs=2, verbose=0)
    assert model.history.history["val_accuracy"][-1] > 0
    told = model.evaluate(val, verbose=0, return_dict=True)
    predicted = model.predict(val, verbose=0)[: len(val.ids)].argmax(axis=1)
    assert told["accuracy"] == pytest.approx((predicted == val.labels).mean(), abs=1e-6)
    assert test.labels is None and model.predict(test, verbose=0)[: len(test.ids)].shape == (SIZES["test"], 6)
    assert isinstance(model, keras.Model)


def test_a_missing_split_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^[^\n]+$"):
        corolla.load_split(tmp_path, "train")
