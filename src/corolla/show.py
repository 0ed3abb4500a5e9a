"""A data set at a glance: how many photos of each class, of which sizes, and what they look like.

Takes: DATA. Gives: an HTML file (classes as bars, sizes, a row of photos a class), or an image with the photos alone.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from corolla.checkpoint import write_file
from corolla.classes import COUNT, NAMES
from corolla.errors import DataError, WishError
from corolla.images import ImageError, decode, in_order
from corolla.page import Markup, bars, element, figure, grid, page, photo, section, table
from corolla.records.framing import RecordError
from corolla.records.shards import WAY_OUT, Found, Unread, data_folder, find_split, unread_split
from corolla.reporter import SILENT, Reporter
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import SPLITS, BadRecord, OnBadRecord

PAGE, IMAGES = (".html", ".htm"), {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MOST_PHOTOS = 32
_THUMB, _SIDE, _GAP = 96, 72, 4
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


@dataclass
class Overview:
    """What a data set holds.

    labels: int64[104] a split; sizes: "WIDTHxHEIGHT" -> images, a split; nbytes: of the encoded images, a split;
    thumbnails: uint8[96, 96, 3], some of each label, those of train first; label -1: without one.
    """

    folder: AnyPath
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    sizes: dict[str, Counter[str]] = field(default_factory=dict)
    nbytes: dict[str, list[int]] = field(default_factory=dict)
    thumbnails: dict[int, list[NDArray[np.uint8]]] = field(default_factory=dict)
    skipped: int = 0


def show(
    data: AnyPath,
    out: AnyPath,
    photos: int = 8,
    image_size: int | None = None,
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> AnyPath:
    """Write an overview of DATA: a page (.html) or the contact sheet alone (.png, .jpg, .webp). Returns `out`.

    photos: of each class. Raises WishError (another ending, too many photos), DataError (broken data), RunError.
    """
    ending = out.suffix.lower()
    if ending not in PAGE and ending not in IMAGES:
        raise WishError(f"--out {out}: name it .html for a page, or .png, .jpg, .webp for the photos alone")
    if not 1 <= photos <= MOST_PHOTOS:
        raise WishError(f"--photos {photos}: between 1 and {MOST_PHOTOS} of each class fit a page")
    refuse_unwritable(out)
    found = overview(data, photos, image_size, on_bad_record, reporter)
    write_file(out, overview_page(found) if ending in PAGE else contact_sheet(found, IMAGES[ending]))
    return out


def overview(
    data: AnyPath,
    photos: int = 8,
    image_size: int | None = None,
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> Overview:
    """Read every record. Raises DataError: no data, or a broken record under "fail"."""
    found = Overview(data_folder(data, image_size))
    for split in SPLITS:
        if (found.folder / split).is_dir():
            files = find_split(found.folder, split)
            found.labels[split], found.sizes[split] = np.zeros(COUNT, np.int64), Counter()
            found.nbytes[split] = []
            for done, item in enumerate(in_order(_seen, unread_split(files)), 1):
                _add(found, split, item, photos, on_bad_record)
                reporter.progress(f"reading {split}", done, max(files.count or 0, done))
    if not any(found.nbytes.values()):
        raise DataError(f"{found.folder}: not one record can be shown: see `corolla check`")
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    label: int | None
    size: str
    nbytes: int
    thumbnail: NDArray[np.uint8]


def _seen(item: Unread | BadRecord) -> _Seen | BadRecord:
    found = item.read() if isinstance(item, Unread) else item
    if not isinstance(found, Found):
        return found
    image = found.example.image
    try:
        pixels = decode(image) if isinstance(image, bytes) else image
    except ImageError as error:
        return found.bad(f"id {found.example.id!r}: {error}")
    nbytes = len(image) if isinstance(image, bytes) else image.nbytes
    small = np.asarray(Image.fromarray(pixels).resize((_THUMB, _THUMB), Image.Resampling.BOX))
    return _Seen(found.example.label, f"{pixels.shape[1]}x{pixels.shape[0]}", nbytes, small)


def _add(found: Overview, split: str, item: _Seen | BadRecord, photos: int, on_bad_record: OnBadRecord) -> None:
    if isinstance(item, BadRecord):
        if on_bad_record == "fail":
            raise RecordError(item, WAY_OUT)
        found.skipped += 1
        return
    found.sizes[split][item.size] += 1
    found.nbytes[split].append(item.nbytes)
    if item.label is not None:
        found.labels[split][item.label] += 1
    kept = found.thumbnails.setdefault(-1 if item.label is None else item.label, [])
    if len(kept) < photos:
        kept.append(item.thumbnail)


# ------------------------------------------------------------------------------------------------------------- page


def overview_page(found: Overview) -> bytes:
    """The page."""
    rows = [_split_row(found, split) for split in found.sizes]
    names = ("split", "photos", "labelled", "classes", "smallest class", "largest class", "px", "median kB", "95 % kB")
    labelled = [split for split, counts in found.labels.items() if counts.any()]
    histograms = [section(f"Classes in {split}", _histogram(found.labels[split])) for split in labelled]
    photos = section("Photos", grid(_class_figure(label, kept) for label, kept in sorted(found.thumbnails.items())))
    skipped = [element("p", f"{found.skipped:,} bad records were left out.")] if found.skipped else []
    where = element("p", str(found.folder), kind="dim")
    return page(
        found.folder.name or "Data", where, *skipped, section("Splits", table(names, rows)), *histograms, photos
    )


def _split_row(found: Overview, split: str) -> Sequence[object]:
    counts, nbytes = found.labels[split], np.array(found.nbytes[split] or [0]) / 1000
    present = counts[counts > 0]
    sizes = [size for size, _ in found.sizes[split].most_common()]
    px = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"
    least, most = (f"{present.min():,}", f"{present.max():,}") if len(present) else ("-", "-")
    of_labels = (f"{counts.sum():,}", f"{len(present)}/{COUNT}", least, most)
    size_of = (px, f"{np.median(nbytes):.1f}", f"{np.percentile(nbytes, 95):.1f}")
    return (split, f"{len(found.nbytes[split]):,}", *of_labels, *size_of)


def _histogram(counts: NDArray[np.int64]) -> Markup:
    order = np.argsort(-counts, kind="stable")
    drawn = bars(counts[order].tolist(), [f"{label} {NAMES[label]}" for label in order.tolist()])
    return element("div", drawn, kind="scroll")  # shrunk to a phone's width, names could not be read


def _class_figure(label: int, kept: Sequence[NDArray[np.uint8]]) -> Markup:
    name = _name(label)
    return figure([photo(image, _SIDE, name) for image in kept], name)


def _name(label: int) -> str:
    return "without a label" if label < 0 else f"{label} {NAMES[label]}"


# ------------------------------------------------------------------------------------------------------------ sheet


def contact_sheet(found: Overview, kind: str = "PNG") -> bytes:
    """A row of photos a class, as an image file."""
    rows = sorted(found.thumbnails.items())
    step, text = _SIDE + _GAP, 180
    columns = max(len(kept) for _, kept in rows)
    picture = Image.new("RGB", (text + columns * step, len(rows) * step + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for row, (label, kept) in enumerate(rows):
        top = row * step + _GAP
        pen.text((_GAP, top + _SIDE // 2 - 8), _name(label), _INK, font)
        for column, image in enumerate(kept):
            small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            picture.paste(small, (text + column * step, top))
    content = io.BytesIO()
    picture.save(content, kind, **({"quality": 88} if kind != "PNG" else {}))
    return content.getvalue()
