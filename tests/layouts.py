"""The public sources in small, written from their published formats."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.types import Example


def scene(seed: int, width: int = 60, height: int = 40) -> Image.Image:
    """A smooth random picture; no two look alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def photo(seed: int, format: str = "JPEG", width: int = 60, height: int = 40, **more) -> bytes:
    """The picture as a file's bytes."""
    out = io.BytesIO()
    scene(seed, width, height).save(out, format, **({"quality": 92} if format == "JPEG" else {}) | more)
    return out.getvalue()


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_csv(path: Path, *lines: tuple) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    put(path, text.getvalue())


def own(folder: Path, photos: int = 30, kinds: tuple[str, ...] = ("rose", "common_tulip", "Colts foot")) -> Path:
    """CLASS/*.jpg, the classes in turn."""
    for i in range(photos):
        put(folder / kinds[i % len(kinds)] / f"{i:03d}.jpg", photo(i))
    return folder


def oxford_102(folder: Path) -> Path:
    """https://www.robots.ox.ac.uk/~vgg/data/flowers/102/: labels 1 x n, setid with trnid, valid and tstid."""
    labels = [1, 5, 102, 54]
    for number in range(1, len(labels) + 1):
        put(folder / "jpg" / f"image_{number:05d}.jpg", photo(100 + number))
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    scipy.io.savemat(folder / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3, 4]]})
    return folder


def tf_flowers(folder: Path) -> Path:
    """https://www.tensorflow.org/datasets/catalog/tf_flowers: flower_photos.tgz, unpacked."""
    for place, name in enumerate(("daisy", "dandelion", "roses", "sunflowers", "tulips")):
        put(folder / "flower_photos" / name / f"{place}_a1b2.jpg", photo(200 + place))
    licence = (
        "All images in this archive are licensed under CC-BY.\n\ndaisy/0_a1b2.jpg CC-BY by A. Body - https://x.y/1/\n"
    )
    put(folder / "flower_photos" / "LICENSE.txt", licence)
    return folder


def inaturalist(folder: Path) -> Path:
    """https://github.com/visipedia/inat_comp/tree/master/2021: COCO-style lists beside one folder a species."""
    taxa = {
        "06000_Plantae_Tracheophyta_Liliopsida_Asparagales_Iridaceae_Iris_pseudacorus": 2,
        "06001_Plantae_Tracheophyta_Liliopsida_Asparagales_Iridaceae_Iris_versicolor": 2,
        "06002_Plantae_Tracheophyta_Magnoliopsida_Rosales_Rosaceae_Rosa_rugosa": 1,
        "02000_Animalia_Chordata_Aves_Passeriformes_Corvidae_Corvus_corax": 1,
    }
    images = []
    for place, (name, count) in enumerate(taxa.items()):
        for number in range(count):
            file = f"train/{name}/{place}{number}-ab-cd.jpg"
            put(folder / file, photo(300 + 10 * place + number))
            images.append({"id": len(images), "file_name": file, "license": 0, "rights_holder": "A. Nobody"})
    listed = {"images": images, "licenses": [{"id": 0, "name": "CC BY-NC 4.0", "url": "https://x.y"}]}
    put(folder / "train.json", json.dumps(listed | {"annotations": [], "categories": []}))
    return folder


def openimages(folder: Path) -> Path:
    """https://storage.googleapis.com/openimages/web/download_v7.html: names, labels, boxes and sources as CSV."""
    put(
        folder / "oidv7-class-descriptions.csv",
        'LabelName,DisplayName\n/m/1,Rose\n/m/2,Flower\n/m/3,"Common sunflower"\n',
    )
    for number in range(5):
        put(folder / "train" / f"00{number}.jpg", photo(400 + number))
    labels = [("ImageID", "Source", "LabelName", "Confidence")]
    labels += [(image, "verification", mid, sure) for image, mid, sure in (
        ("000", "/m/1", 1), ("000", "/m/2", 1),
        ("001", "/m/1", 0), ("001", "/m/3", 1),
        ("002", "/m/1", 1), ("002", "/m/3", 1),
        ("003", "/m/2", 1),
        ("zzz", "/m/1", 1),
    )]  # fmt: skip
    put_csv(folder / "oidv7-train-annotations-human-imagelabels.csv", *labels)
    columns = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
    columns += ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
    put_csv(
        folder / "oidv6-train-annotations-bbox.csv",
        columns,
        ("000", "xclick", "/m/1", 1, 0.5, 0.75, 0.25, 0.5, 0, 0, 0, 0, 0),
        ("000", "xclick", "/m/1", 1, 0.5, 0.6, 0.25, 0.3, 0, 0, 0, 0, 0),
        ("001", "xclick", "/m/3", 1, 0.0, 1.0, 0.0, 1.0, 0, 0, 1, 0, 0),
    )
    columns = (
        "ImageID",
        "Subset",
        "OriginalURL",
        "OriginalLandingURL",
        "License",
        "AuthorProfileURL",
        "Author",
        "Title",
    )
    licence = "https://creativecommons.org/licenses/by/2.0/"
    put_csv(folder / "train-images-with-rotation.csv", columns, ("000", "train", "u", "l", licence, "p", "Ann", "t"))
    return folder


def imagenet(folder: Path) -> Path:
    """https://www.image-net.org/download.php: one folder a synset, words.txt with tabs."""
    for synset in ("n11939491", "n12345677", "n12345678", "n02084071"):
        put(folder / synset / f"{synset}_1.JPEG", photo(int(synset[-4:])))
    words = "n11939491\tdaisy\nn12345677\tcoltsfoot, Tussilago farfara\n"
    words += "n12345678\trose, rosebush\nn02084071\tdog, Canis familiaris\n"
    put(folder / "words.txt", words)
    return folder


def pack(folder: Path) -> Path:
    """The external pack: `<source>/tfrecords-jpeg-SxS/*.tfrec`, no splits, labels 0 to 103."""
    for place, name in enumerate(("imagenet", "openimage")):
        for side in (32, 48):
            examples = [
                Example(f"{name}{i}", 7 * i, photo(500 + 10 * place + i, width=side, height=side)) for i in range(3)
            ]
            write_records(
                folder / name / f"tfrecords-jpeg-{side}x{side}" / f"00-{side}x{side}-3.tfrec",
                map(encode_example, examples),
            )
    return folder


def competition(folder: Path, sizes: tuple[int, ...] = (32, 48)) -> Path:
    """Splits with two records each, in folders by size or without; test has no labels."""
    for side in sizes or (48,):
        inner = folder / f"tfrecords-jpeg-{side}x{side}" if sizes else folder
        for place, split in enumerate(("train", "val", "test")):
            records = [(f"{place}0000000{i}", photo(700 + 10 * place + i, width=side, height=side)) for i in range(2)]
            examples = [
                Example(name, None if split == "test" else 7 * i, image) for i, (name, image) in enumerate(records)
            ]
            write_records(inner / split / f"00-{side}x{side}-2.tfrec", map(encode_example, examples))
    return folder


def listed(folder: Path) -> Path:
    """A CSV of paths and labels, numbers and names mixed."""
    for number in range(3):
        put(folder / "photos" / f"{number}.jpg", photo(600 + number))
    lines = (("photos/0.jpg", "53"), ("photos/1.jpg", "moon orchid"), ("photos/2.jpg", "triffid"))
    put_csv(folder / "mine.csv", ("path", "label"), *lines)
    return folder / "mine.csv"
