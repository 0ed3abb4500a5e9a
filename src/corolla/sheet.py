"""A contact sheet of training images: what the network sees of a few photos, many times over.

Takes: a data folder, an `Augmentation`. Gives: a PNG (or JPEG, WebP): a row a photo, first the photo itself, then what
training would make of it in one epoch after the other; of mixtures, how much is its own.
"""

import io
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from corolla import augment, classes
from corolla.backend import compiled
from corolla.checkpoint import write_file
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.errors import WishError
from corolla.images import load_split
from corolla.order import Lanes, epoch_order
from corolla.records.shards import find_split
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import OnBadRecord, Photos

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_GAP, _TEXT, _TOP = 6, 22, 30
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
MOST_IMAGES = 1_000


def sheet(
    data: AnyPath,
    out: AnyPath,
    how: Augmentation = CROP_AND_FLIP,
    image_size: int = 224,
    photos: int = 6,
    views: int = 8,
    seed: int = 0,
    on_bad_record: OnBadRecord = "fail",
) -> AnyPath:
    """Write the sheet of the first photos of DATA/train, of as many kinds as there are; returns `out`.

    Raises DataError (broken data) and WishError (no room for it, an ending that names no kind of image).
    """
    kind = FORMATS.get(out.suffix.lower())
    if kind is None:
        raise WishError(f"--out {out}: a sheet is an image: name it .png, .jpg or .webp")
    if min(photos, views) < 1 or photos * views > MOST_IMAGES:
        raise WishError(f"{photos} photos of {views} views each: between 1 and {MOST_IMAGES:,} images fit a sheet")
    refuse_unwritable(out)
    files = find_split(data, "train", image_size)
    read = load_split(replace(files, shards=files.shards[:1]), on_bad_record=on_bad_record, labels="maybe")
    chosen = _chosen(read, photos)
    drawn = _drawn(read, chosen, how, image_size, views, seed)
    picture = _composed(read, chosen, drawn, how, image_size)
    content = io.BytesIO()
    picture.save(content, kind, **({"quality": 92} if kind != "PNG" else {}))
    write_file(out, content.getvalue())
    return out


def _chosen(read: Photos, count: int) -> NDArray[np.int64]:
    """The first photo of each class, then the second ones, until there are enough."""
    if read.labels is None:
        return np.arange(min(count, len(read)))
    times: dict[int, int] = {}
    turns = []
    for place, label in enumerate(read.labels.tolist()):
        times[label] = times.get(label, 0) + 1
        turns.append((times[label], place))
    return np.array([place for _, place in sorted(turns)[:count]])


def _drawn(
    read: Photos, chosen: NDArray, how: Augmentation, size: int, views: int, seed: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """(images uint8[n, s, s, 3], own shares float32[n]) of one epoch after the other, as training draws them."""
    found = []

    @compiled
    def look(own: Any, others: Any, draws: Any) -> Any:
        return augment.seen_in_training(own, others if how.mixes else None, draws, size, how)

    own, others = read.images[chosen], read.images[np.roll(chosen, -1)]
    for epoch in range(1, views + 1):
        draws = epoch_order(Lanes(len(chosen), len(chosen)), seed, epoch).draws[:, 0]
        seen, share = look(own, others, draws)
        found.append((_bytes(seen), np.asarray(share)))
    return found


def _bytes(seen: Any) -> NDArray[np.uint8]:
    return np.clip(np.round(np.asarray(seen, np.float32)), 0, 255).astype(np.uint8)


def _composed(
    read: Photos, chosen: NDArray, drawn: list[tuple[NDArray, NDArray]], how: Augmentation, size: int
) -> Image.Image:
    step = size + _GAP
    width, height = step * (len(drawn) + 1) + 2 * _GAP, (step + _TEXT) * len(chosen) + _TOP
    picture = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    pen.text((_GAP, 8), _told(how), _INK, font)
    originals = _bytes(augment.resize(read.images[chosen], size))
    for row, place in enumerate(chosen):
        top = _TOP + row * (step + _TEXT)
        picture.paste(Image.fromarray(originals[row]), (_GAP, top))
        name = "" if read.labels is None else classes.NAMES[read.labels[place]]
        pen.text((_GAP, top + size + 3), name, _INK, font)
        for column, (images, shares) in enumerate(drawn):
            left = 2 * _GAP + (column + 1) * step
            picture.paste(Image.fromarray(images[row]), (left, top))
            if how.mixes:
                pen.text((left, top + size + 3), f"{shares[row]:.0%} its own", _INK, font)
    return picture


def _told(how: Augmentation) -> str:
    """The settings that differ from nothing at all."""
    nothing = asdict(Augmentation())
    wished = {name: value for name, value in asdict(how).items() if value != nothing[name]}
    return "photo | " + (", ".join(f"{name} {value}" for name, value in wished.items()) or "no augmentation")
