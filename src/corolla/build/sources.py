"""The public sources, each in the layout that it publishes, and photos of one's own.

Takes: a path. Gives: `recognised`: the `Source` whose layout lies there, and its photos as `Item`s in a fixed order,
each with its split where the source publishes one (in brackets: how).

| source | layout | documented at |
|---|---|---|
| oxford_102 | `imagelabels.mat`, `jpg/image_N.jpg` (setid.mat) | https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ |
| tf_flowers | `flower_photos/<name>/*.jpg`, `LICENSE.txt` | https://www.tensorflow.org/datasets/catalog/tf_flowers |
| inaturalist | `train/NNNNN_<taxonomy>_Genus_species/*.jpg` (folders) | https://github.com/visipedia/inat_comp |
| openimages | names, labels, boxes as CSV (folders, Subset) | https://storage.googleapis.com/openimages/web |
| imagenet | `nNNNNNNNN/*.JPEG`, `words.txt` (a folder `train`) | https://www.image-net.org/download.php |
| competition | `tfrecords-jpeg-SxS/train/*.tfrec`, or `train/*.tfrec` (folders) | the competition, and `write` |
| pack | `<source>/tfrecords-jpeg-SxS/*.tfrec` | the competition's external pack, in the same schema |
| csv | `path,label` or `path,name` (a column `split`) | docs/build.md |
| folder | `<class>/*.jpg`, or `train/<class>/*.jpg` (folders) | docs/build.md |
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from corolla.build.files import PHOTO_SUFFIXES, folders, photos_below, refuse_outside, rows
from corolla.build.item import Item, Slot
from corolla.build.mapping import LABELS
from corolla.build.record import ID_CHARACTERS, Box
from corolla.errors import DataError
from corolla.records.example import SchemaError, parse_example
from corolla.records.framing import Frame, scan_frames
from corolla.records.shards import SUFFIXES, list_shards
from corolla.types import SPLITS, BadRecord


@dataclass(frozen=True)
class Source:
    """A kind of source. layout: what is looked for, for people. lies_at: whether it is there; items: its photos. named:
    whether they are called by the folder or file that they lie in, because they are anybody's.
    """

    name: str
    layout: str
    lies_at: Callable[[Path], bool]
    items: Callable[[Path], Iterator[Item]]
    named: bool = False


@dataclass(frozen=True)
class Located:
    """A source at a place. name: its own; number: "", or of a second one of the same name "-2"."""

    source: Source
    path: Path
    name: str
    number: str

    def items(self) -> Iterator[Item]:
        """Its photos. Raises DataError where its lists are damaged, or a link leads out of it."""
        for item in self.source.items(self.path):
            yield replace(item, source=item.source + self.number) if self.number else item


# ------------------------------------------------------------------------------------------------------- Oxford 102


def _oxford_at(path: Path) -> bool:
    return (path / "imagelabels.mat").is_file() and (path / "jpg").is_dir()


def _oxford(path: Path) -> Iterator[Item]:
    (labels,) = _matrices(path / "imagelabels.mat", "labels")
    splits = _oxford_splits(path / "setid.mat")
    for name, place in photos_below(path / "jpg", path):
        match = re.fullmatch(r"image_(\d+)", place.stem)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(labels):
            raise DataError(f"{place}: imagelabels.mat has no label for it, only for image_00001 to {len(labels):05d}")
        yield Item("oxford_102", "oxford_102", name, (str(labels[number - 1]),), place, split=splits.get(number))


def _oxford_splits(path: Path) -> dict[int, str]:
    """{number of an image: split}, where the file is there."""
    if not path.is_file():
        return {}
    parts = _matrices(path, "trnid", "valid", "tstid")
    return {number: split for split, part in zip(SPLITS, parts, strict=True) for number in part.tolist()}


def _matrices(path: Path, *names: str) -> list[NDArray[np.int64]]:
    """Variables int64[n]. A .mat file of version 5 holds only data; newer ones are refused by scipy."""
    try:
        found = scipy.io.loadmat(io.BytesIO(path.read_bytes()), variable_names=names)
        return [np.asarray(found[name]).ravel().astype(np.int64) for name in names]
    except Exception as error:  # scipy raises anything for damaged files
        wanted = " and ".join(repr(name) for name in names)
        raise DataError(f"{path}: holds no MATLAB variable {wanted} ({error}): download it again") from error


# ------------------------------------------------------------------------------------------------------- tf_flowers

_TF_FOLDERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")


def _tf_flowers_at(path: Path) -> bool:
    return path.is_dir() and any((_tf_folder(path) / name).is_dir() for name in ("roses", "sunflowers", "tulips"))


def _tf_folder(path: Path) -> Path:
    inner = path / "flower_photos"
    return inner if inner.is_dir() else path


def _tf_flowers(path: Path) -> Iterator[Item]:
    folder = _tf_folder(path)
    licences = _tf_licences(folder / "LICENSE.txt")
    for name in (one.name for one in folders(folder)):
        for photo, place in photos_below(folder / name, path):
            licence = licences.get(place.relative_to(folder).as_posix(), "")
            yield Item("tf_flowers", "tf_flowers", photo, (name,), place, licence=licence)


def _tf_licences(path: Path) -> dict[str, str]:
    """{file: who took it}: after some lines that say CC-BY, each is `daisy/123.jpg CC-BY by Somebody - https://...`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = (re.fullmatch(r"(\w+/\S+\.jpg)\s+(CC.*)", line.strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


# ------------------------------------------------------------------------------------------------------ iNaturalist

_TAXON = re.compile(r"\d{5}(_[^_]+){5}_(?P<genus>[^_]+)_(?P<species>[^_]+(?:_[^_]+)*)")
_INAT_SPLITS = {"train": "train", "train_mini": "train", "val": "val"}


def _inaturalist_at(path: Path) -> bool:
    return any(_TAXON.fullmatch(one.name) for split in _INAT_SPLITS for one in folders(path / split)[:50])


def _inaturalist(path: Path) -> Iterator[Item]:
    for part, split in _INAT_SPLITS.items():
        licences = _inat_licences(path / f"{part}.json") if (path / part).is_dir() else {}
        for folder in folders(path / part):
            match = _TAXON.fullmatch(folder.name)
            kinds = (
                (f"{match['genus']} {match['species'].replace('_', ' ')}", match["genus"]) if match else (folder.name,)
            )
            for name, place in photos_below(folder, path):
                licence = licences.get(name, "")
                yield Item("inaturalist", "inaturalist", name, kinds, place, licence=licence, split=split)


def _inat_licences(path: Path) -> dict[str, str]:
    """{file: licence, and who holds the rights}, of the COCO-style list beside the photos, where it is there."""
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_bytes())
        names = {one["id"]: one["name"] for one in listed.get("licenses", [])}
        return {one["file_name"]: _inat_licence(one, names) for one in listed["images"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no list of iNaturalist's ({error!r}): download it again") from error


def _inat_licence(image: dict[str, Any], names: dict[Any, str]) -> str:
    return " by ".join(filter(None, (names.get(image.get("license"), ""), image.get("rights_holder") or "")))


# ------------------------------------------------------------------------------------------------------ Open Images

_OPEN_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def _described(path: Path) -> list[Path]:
    return sorted(path.glob("*class-descriptions*.csv"))


def _openimages_at(path: Path) -> bool:
    return path.is_dir() and bool(_described(path)) and bool(_open_lists(path, "labels") or _open_lists(path, "bbox"))


def _open_lists(path: Path, what: str) -> list[Path]:
    """The lists of labels (imagelabels, in all spellings of the releases), or of boxes."""
    return sorted(one for one in path.glob("*annotations*.csv") if what in one.name)


def _openimages(path: Path) -> Iterator[Item]:
    """Photos with the labels that a person confirmed, and boxes of single things (`IsGroupOf` 0)."""
    names, photos = _open_names(path), _open_photos(path)
    labels = _open_labels(path, names, photos)
    boxes = _open_boxes(path, names, photos)
    told = _open_origins(path, photos)
    for image, (name, place) in photos.items():
        licence, rotation, subset = told.get(image, ("", 0, ""))
        subset = name.split("/")[0] if "/" in name else subset
        own = {kind: _turned(box, rotation) for kind, box in boxes.get(image, {}).items()}
        kinds = tuple(dict.fromkeys([*labels.get(image, ()), *own]))
        more: dict[str, Any] = {"several": True, "boxes": own, "licence": licence, "rotation": rotation}
        more["split"] = _OPEN_SPLITS.get(subset)
        yield Item("openimages", "openimages", name, kinds, place, **more)


def _open_photos(path: Path) -> dict[str, tuple[str, Path]]:
    splits = [path / split for split in _OPEN_SPLITS if (path / split).is_dir()] or [path]
    return {place.stem: (name, place) for split in splits for name, place in photos_below(split, path)}


def _open_names(path: Path) -> dict[str, str]:
    """{MID: display name}. The list of boxable classes has no header, the others have `LabelName,DisplayName`."""
    found = {}
    for file in _described(path):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            mid, _, name = line.partition(",")
            if mid.startswith("/"):
                found[mid] = name.strip().strip('"')
    return found


def _open_labels(path: Path, names: dict[str, str], photos: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in _open_lists(path, "labels"):
        for row in rows(file, ("ImageID", "LabelName", "Confidence")):
            if row["ImageID"] in photos and _confidence(row, file) >= 1:
                found.setdefault(row["ImageID"], []).append(names.get(row["LabelName"], row["LabelName"]))
    return found


def _confidence(row: dict[str, str], file: Path) -> float:
    try:
        return float(row["Confidence"] or 0)
    except ValueError as error:
        raise DataError(f"{file}: image {row['ImageID']}: a confidence is no number ({error})") from error


def _open_boxes(path: Path, names: dict[str, str], photos: dict[str, Any]) -> dict[str, dict[str, Box]]:
    """{image: {name: its largest box}}; where a group stands, the name without a box would be cut out too: none."""
    found: dict[str, dict[str, Box]] = {}
    for file in _open_lists(path, "bbox"):
        for row in rows(file, ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")):
            if row["ImageID"] not in photos or row.get("IsGroupOf") == "1":
                continue
            box = _box(row, file)
            own, name = found.setdefault(row["ImageID"], {}), names.get(row["LabelName"], row["LabelName"])
            if name not in own or _area(box) > _area(own[name]):
                own[name] = box
    return found


def _box(row: dict[str, str], file: Path) -> Box:
    try:
        left, top, right, bottom = (float(row[name]) for name in ("XMin", "YMin", "XMax", "YMax"))
    except ValueError as error:
        raise DataError(f"{file}: image {row['ImageID']}: a box is no four numbers ({error})") from error
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise DataError(f"{file}: image {row['ImageID']}: a box of {left}, {top}, {right}, {bottom} lies in no image")
    return left, top, right, bottom


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _turned(box: Box, rotation: int) -> Box:
    """A box in a photo that is turned counterclockwise: what was on the right is above."""
    for _ in range(rotation // 90):
        left, top, right, bottom = box
        box = (top, 1 - right, bottom, 1 - left)
    return box


def _open_origins(path: Path, photos: dict[str, Any]) -> dict[str, tuple[str, int, str]]:
    """{image: (licence, rotation, subset)}. Image and boxes are to be turned:
    https://storage.googleapis.com/openimages/web/2018-05-17-rotation-information.html
    """
    found = {}
    for file in sorted({*path.glob("*image_ids*.csv"), *path.glob("*images*rotation*.csv")}):
        for row in rows(file, ("ImageID", "License")):
            if row["ImageID"] in photos:
                licence = " by ".join(filter(None, (row["License"], row.get("Author") or "")))
                found[row["ImageID"]] = licence, _rotation(row, file), row.get("Subset") or ""
    return found


def _rotation(row: dict[str, str], file: Path) -> int:
    """Degrees; nobody knows those of photos that had left Flickr (nan)."""
    written = (row.get("Rotation") or "nan").lower()
    degrees = written.removesuffix(".0")
    if degrees not in ("nan", "0", "90", "180", "270"):
        raise DataError(f"{file}: image {row['ImageID']}: a rotation of {written!r}, wanted 0, 90, 180, 270 or nan")
    return 0 if degrees == "nan" else int(degrees)


# --------------------------------------------------------------------------------------------------------- ImageNet

_SYNSET = re.compile(r"n\d{8}")
_WORD_LISTS = ("words.txt", "synset_words.txt", "LOC_synset_mapping.txt")


def _synset_folders(path: Path) -> list[Path]:
    inner = path / "train"
    return [one for one in folders(inner if inner.is_dir() else path) if _SYNSET.fullmatch(one.name)]


def _imagenet_at(path: Path) -> bool:
    return path.is_dir() and bool(_synset_folders(path))


def _imagenet(path: Path) -> Iterator[Item]:
    words = _imagenet_words(path)
    for folder in _synset_folders(path):
        kinds = (folder.name, *words.get(folder.name, ()))
        split = "train" if folder.parent != path else None
        for name, place in photos_below(folder, path):
            yield Item("imagenet", "imagenet", name, kinds, place, split=split)


def _imagenet_words(path: Path) -> dict[str, tuple[str, ...]]:
    """{synset: its words}, of lines such as `n11939491 daisy` (a tab or a blank between them)."""
    found = {}
    for file in (path / name for name in _WORD_LISTS):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        for line in text.splitlines():
            synset, _, rest = line.strip().replace("\t", " ").partition(" ")
            if _SYNSET.fullmatch(synset):
                found[synset] = tuple(word.strip() for word in rest.split(","))
    return found


# ------------------------------------------------------------------------------------------------------------- pack

_PACK_SOURCES = ("imagenet", "inaturalist", "openimage", "oxford_102", "tf_flowers")
_SIZES = re.compile(r"tfrecords-jpeg-(\d+)x\1")


def _pack_folders(path: Path) -> list[Path]:
    """The folder of the largest images of each source in the pack, or of one source by itself."""
    inside = [path / name for name in _PACK_SOURCES if _largest(path / name)]
    return [found for one in inside or [path] if (found := _largest(one))]


def _largest(path: Path) -> Path | None:
    sizes = {int(match[1]): one for one in folders(path) if (match := _SIZES.fullmatch(one.name))}
    there = {size: one for size, one in sizes.items() if any(file.suffix in SUFFIXES for file in one.iterdir())}
    return there[max(there)] if there else None


def _pack_at(path: Path) -> bool:
    return path.is_dir() and bool(_pack_folders(path))


def _pack(path: Path) -> Iterator[Item]:
    for folder in _pack_folders(path):
        yield from _records(folder, path, folder.parent.name)


def _records(folder: Path, root: Path, source: str, split: str | None = None) -> Iterator[Item]:
    """What the shards in a folder hold. Raises DataError at the first damaged record."""
    for shard in list_shards(folder):
        assert isinstance(shard.path, Path)
        path = refuse_outside(shard.path, root)
        for number, frame in enumerate(scan_frames(path)):
            yield _record(path, number, frame, source, split)


def _record(path: Path, number: int, frame: Frame | BadRecord, source: str, split: str | None) -> Item:
    record = frame.checked() if isinstance(frame, Frame) else frame
    if isinstance(record, BadRecord):
        raise DataError(str(record))
    try:
        example = parse_example(record.data)
    except SchemaError as error:
        raise DataError(f"{path}: record {number}: {error}") from error
    assert isinstance(frame, Frame)
    kinds = () if example.label is None else (str(example.label),)
    name, own = example.id or f"{path.name}/{number}", example.id if _ID.fullmatch(example.id) else ""
    return Item(source, LABELS, name, kinds, Slot(path, frame.offset, frame.end), split=split, id=own)


_ID = re.compile(f"[0-9a-f]{{{ID_CHARACTERS}}}")


# ------------------------------------------------------------------------------------------------------ competition


def _splits_folder(path: Path) -> Path | None:
    """Where the splits of a data set lie: in it, or in its folder of the largest images."""
    sizes = {int(match[1]): one for one in folders(path) if (match := _SIZES.fullmatch(one.name))}
    for folder in (path, *(sizes[size] for size in sorted(sizes, reverse=True))):
        parts = [folder / split for split in SPLITS if (folder / split).is_dir()]
        if any(file.suffix in SUFFIXES for part in parts for file in part.iterdir()):
            return folder
    return None


def _competition_at(path: Path) -> bool:
    return path.is_dir() and _splits_folder(path) is not None


def _competition(path: Path) -> Iterator[Item]:
    folder = _splits_folder(path)
    for split in SPLITS if folder else ():
        if folder and (folder / split).is_dir():
            yield from _records(folder / split, path, path.resolve().name, split)


# --------------------------------------------------------------------------------------------------- of one's own


def _csv_at(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".csv"


def _csv(path: Path) -> Iterator[Item]:
    """Paths are relative to the folder that the file lies in, and stay below it."""
    root = path.parent
    for row in rows(path, ("path",)):
        kind = row.get("label") or row.get("name")
        if not kind:
            raise DataError(
                f"{path}: {row['path']!r} has neither a label nor a name: wanted columns path,label or path,name"
            )
        split, place = row.get("split") or None, refuse_outside(root / row["path"], root)
        if split not in (None, *SPLITS):
            raise DataError(f"{path}: {row['path']!r} is in a split {split!r}, wanted {', '.join(SPLITS)} or nothing")
        yield Item(path.stem, LABELS, row["path"], (kind,), place, split=split)


_FOLDER_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def _folder_at(path: Path) -> bool:
    return any(next(photos_below(one, path), None) for one in folders(path))


def _folder(path: Path) -> Iterator[Item]:
    parts = folders(path)
    split = all(part.name in _FOLDER_SPLITS for part in parts)
    for part in parts:
        of = _FOLDER_SPLITS[part.name] if split else None
        for kind in folders(part) if split else (part,):
            for name, place in photos_below(kind, path):
                yield Item(path.resolve().name, LABELS, name, (kind.name,), place, split=of)


# ------------------------------------------------------------------------------------------------------------ which

SOURCES = (
    Source("csv", "a .csv file with columns path,label or path,name", _csv_at, _csv, True),
    Source("competition", "train/*.tfrec or tfrecords-jpeg-SxS/train/*.tfrec", _competition_at, _competition, True),
    Source("pack", "SOURCE/tfrecords-jpeg-SxS/*.tfrec (the external pack)", _pack_at, _pack),
    Source("oxford_102", "imagelabels.mat and jpg/ (Oxford 102)", _oxford_at, _oxford),
    Source("inaturalist", "train/NNNNN_..._Genus_species/ (iNaturalist 2021)", _inaturalist_at, _inaturalist),
    Source("openimages", "*class-descriptions*.csv and *annotations*.csv (Open Images)", _openimages_at, _openimages),
    Source("imagenet", "nNNNNNNNN/ (ImageNet)", _imagenet_at, _imagenet),
    Source("tf_flowers", "flower_photos/ with roses/, sunflowers/, tulips/ (tf_flowers)", _tf_flowers_at, _tf_flowers),
    Source("folder", f"CLASS/*{'|*'.join(PHOTO_SUFFIXES)} (photos of your own)", _folder_at, _folder, True),
)
"""In the order in which they are looked for: the more particular first."""


def recognised(paths: list[Path]) -> list[Located]:
    """The sources at these paths. Raises DataError for a path that is not there or holds nothing known."""
    found: list[Located] = []
    for path in paths:
        source = _recognised(path)
        name = (path.stem if path.is_file() else path.resolve().name) if source.named else source.name
        count = sum(one.name == name for one in found)
        found.append(Located(source, path, name, f"-{count + 1}" if count else ""))
    return found


def _recognised(path: Path) -> Source:
    if not path.exists():
        raise DataError(f"{path}: there is no such source: check the path")
    for source in SOURCES:
        if source.lies_at(path):
            return source
    looked_for = "; ".join(source.layout for source in SOURCES)
    raise DataError(f"{path}: no layout that is known. Looked for: {looked_for}")
