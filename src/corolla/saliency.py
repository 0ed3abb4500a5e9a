"""Where a classifier looked: what each place of a photo says for a label.

Takes: a model (a Keras classifier of `registry`, or an `Interpreter`, the shipped one's too), images of its size,
labels. Gives: `Saliency`, called for maps float32[n, s, s]; `overlay`, which lays a map over its photo.

The heads here are linear functions of means of feature maps (`models.levels`), so a logit is a sum over places, and a
map is no estimate but that sum, undone: class activation mapping (Zhou et al., 2016, "Learning Deep Features for
Discriminative Localization"), to which Grad-CAM (Selvaraju et al., 2017) comes down for such heads. Where a head is
something else (a class token, attention, a normalisation after the mean), grey squares are laid over the photo, and the
map is how far the logit falls: occlusion (Zeiler & Fergus, 2014, "Visualizing and Understanding Convolutional
Networks"), which needs nothing but the model's answers, and takes `SQUARES`^2 of them a photo.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.interpreter import Interpreter

Array = NDArray[np.float32]
Look = Callable[[Array], tuple[list[Array], Array]]
"""Images float32[b, s, s, 3] of 0..255 to feature maps, [b, h, w, c] each, and logits [b, classes]."""

SQUARES, COVERED = 7, 2
"""Positions of the grey square down and right, and how many of the photo's SQUARES + 1 rows or columns it covers."""

_AT_ONCE = 16
"""Images in one call of the model."""


@dataclass(frozen=True)
class Saliency:
    """A model that can be asked where it looked.

    kernel: of its head, float32[f, classes], where that is a linear function of the means of `look`'s maps, in their
    order; else None, and grey squares are used.
    """

    look: Look
    image_size: int
    kernel: Array | None = None

    @property
    def exact(self) -> bool:
        """Whether maps are the logit, undone, or how far it falls when a place is covered."""
        return self.kernel is not None

    def __call__(self, images: NDArray, labels: NDArray | Sequence[int]) -> Array:
        """What each place says for the label of its image: float32[n, s, s]; below 0 it speaks against it.

        images: uint8 or float[n, s, s, 3] of 0..255, of the model's size; labels: int[n]. By "for a label" is meant:
        more than for the mean of all labels, because only differences between logits mean something. Where `exact`,
        the mean of a map is the label's logit without its bias, less the mean of that over all labels.
        """
        images, labels = np.asarray(images), np.asarray(labels, np.int64)
        if images.shape[1:] != (self.image_size, self.image_size, 3):
            raise ValueError(f"images are {images.shape[1:]}, the model takes {self.image_size} px")
        explain = self._undone if self.exact else self._covered
        parts = [
            explain(images[first : first + _AT_ONCE].astype(np.float32), labels[first : first + _AT_ONCE])
            for first in range(0, len(images), _AT_ONCE)
        ]
        return np.concatenate([np.empty((0, self.image_size, self.image_size), np.float32), *parts])

    def _undone(self, images: Array, labels: NDArray[np.int64]) -> Array:
        """By the head's own weights: float32[b, s, s]."""
        assert self.kernel is not None
        centred = self.kernel - self.kernel.mean(axis=1, keepdims=True)
        maps, _ = self.look(images)
        found = np.zeros(images.shape[:3], np.float32)
        first = 0
        for level in maps:
            weights = centred[first : first + level.shape[-1], labels]  # [c, b]
            found += upsampled(np.einsum("bhwc,cb->bhw", level, weights, optimize=True), self.image_size)
            first += level.shape[-1]
        return found

    def _covered(self, images: Array, labels: NDArray[np.int64]) -> Array:
        """By laying grey squares over the photos: float32[b, s, s]."""
        return np.stack([self._covered_one(image, int(label)) for image, label in zip(images, labels, strict=True)])

    def _covered_one(self, image: Array, label: int) -> Array:
        edges = np.linspace(0, self.image_size, SQUARES + 2).round().astype(int)
        places = [(i, j) for i in range(SQUARES) for j in range(SQUARES)]
        tried = np.repeat(image[None], len(places) + 1, axis=0)  # the last stays as it is
        for one, (i, j) in zip(tried, places, strict=False):
            one[edges[i] : edges[i + COVERED], edges[j] : edges[j + COVERED]] = image.mean(axis=(0, 1))
        logits = np.concatenate([self.look(tried[at : at + _AT_ONCE])[1] for at in range(0, len(tried), _AT_ONCE)])
        for_label = logits[:, label] - logits.mean(axis=1)
        fall, times = np.zeros((2, SQUARES + 1, SQUARES + 1), np.float32)
        for value, (i, j) in zip(for_label[-1] - for_label[:-1], places, strict=True):
            fall[i : i + COVERED, j : j + COVERED] += value
            times[i : i + COVERED, j : j + COVERED] += 1
        return upsampled((fall / times)[None], self.image_size)[0]


def upsampled(maps: NDArray, size: int) -> Array:
    """Maps [b, h, w] to float32[b, size, size], linear between the middles of their places; means stay as they are."""
    found = np.asarray(_between(maps.shape[1], size) @ maps @ _between(maps.shape[2], size).T, np.float32)
    return found + (maps.mean(axis=(1, 2)) - found.mean(axis=(1, 2)))[:, None, None].astype(np.float32)


def _between(places: int, size: int) -> Array:
    """How much of each place a pixel takes: float32[size, places], rows sum to 1."""
    at = np.clip((np.arange(size) + 0.5) * places / size - 0.5, 0, places - 1)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(places)), 0).astype(np.float32)


# Models -----------------------------------------------------------------------------------------------------------


def explainer(model: Any) -> Saliency:
    """Of an `Interpreter` (the shipped model's, or of a run's graph), or of a Keras classifier of `registry`."""
    if isinstance(model, Interpreter):
        return Saliency(model.with_maps, model.image_size, model.kernel_of_maps())
    return _of_keras(model)


def _of_keras(model: Any) -> Saliency:
    from corolla.backend import keras, value_of
    from corolla.models.freeze import HEAD

    head = model.get_layer(HEAD)
    maps = _maps(head.input) or []
    seen = keras.Model(model.inputs, [*maps, model.output])

    def look(images: Array) -> tuple[list[Array], Array]:
        found: Any = seen.predict_on_batch(images)
        *levels, logits = (np.asarray(each, np.float32) for each in (found if isinstance(found, list) else [found]))
        return levels, logits

    kernel = np.asarray(value_of(head.kernel), np.float32) if maps else None
    return Saliency(look, int(model.input_shape[1]), kernel)


def _maps(features: Any) -> list[Any] | None:
    """The feature maps [b, h, w, c] of whose means a Keras tensor consists, in its order; None where of others too."""
    layer, node, _ = features._keras_history
    kind = type(layer).__name__
    inputs = layer._inbound_nodes[node].input_tensors
    if kind == "Dropout":
        return _maps(inputs[0])
    if kind == "GlobalAveragePooling2D" and layer.data_format == "channels_last" and not layer.keepdims:
        return [inputs[0]]
    if kind == "Concatenate":
        parts = [_maps(part) for part in inputs]
        return None if None in parts else [each for part in parts for each in part or []]
    return None


# Showing ----------------------------------------------------------------------------------------------------------

_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    np.float32,
)
"""Of even steps to the eye, in all kinds of colour blindness and in grey (Smith & van der Walt, 2015)."""

_GREY = np.array((0.299, 0.587, 0.114), np.float32)


def strength(found: NDArray) -> Array:
    """A map as parts of its largest value, float32[...] in 0..1; what speaks against the label is 0."""
    positive: Array = np.maximum(found, 0).astype(np.float32)
    most: Array = np.maximum(positive.max(initial=0), 1e-12).astype(np.float32)
    return np.divide(positive, most, dtype=np.float32)


def overlay(image: NDArray[np.uint8], found: NDArray) -> NDArray[np.uint8]:
    """A photo uint8[h, w, 3] under its map [h, w], from dark violet (nothing) to yellow (the most): uint8[h, w, 3]."""
    share = strength(found)[..., None]
    at = share[..., 0] * (len(_VIRIDIS) - 1)
    colour = np.stack([np.interp(at, np.arange(len(_VIRIDIS)), _VIRIDIS[:, c]) for c in range(3)], axis=-1)
    grey = (image.astype(np.float32) @ _GREY)[..., None]
    mixed = (0.55 - 0.15 * share) * colour + (0.45 + 0.15 * share) * grey
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)
