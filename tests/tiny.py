"""Small data for tests: images whose colour gives the label away, and data sets in the competition's layout."""

from pathlib import Path

import numpy as np
import simplejpeg

from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.types import Example

TINY_SPLITS = {"train": (12, 12), "val": (6, 6), "test": (5, 5)}
TINY_CLASSES = 6


def jpeg(label: int = 0, seed: int = 0, side: int = 32) -> bytes:
    """Return a JPEG, side x side, noise around a colour of its label's own."""
    colour = np.array([label * 37 % 256, label * 91 % 256, label * 153 % 256])
    noise = np.random.default_rng(seed).integers(-20, 21, (side, side, 3))
    return simplejpeg.encode_jpeg(np.clip(colour + noise, 0, 255).astype(np.uint8), quality=90)


def example(index: int, split: str = "train", side: int = 32) -> Example:
    """Return the index-th example of a split; its id and image are its own."""
    label = index % TINY_CLASSES
    seed = 1000 * list(TINY_SPLITS).index(split) + index
    return Example(f"{split}{index:04d}", None if split == "test" else label, jpeg(label, seed, side))


def write_shard(folder: Path, number: int, examples: list[Example], side: int = 32, count: int | None = None) -> Path:
    """Write a shard under the competition's kind of name; `count` makes the name lie."""
    path = folder / f"{number:02d}-{side}x{side}-{len(examples) if count is None else count}.tfrec"
    write_records(path, map(encode_example, examples))
    return path


def write_tiny(data: Path, side: int = 32) -> Path:
    """Write train (24), val (12) and test (10, no labels), two shards each; return the folder."""
    for split, sizes in TINY_SPLITS.items():
        start = 0
        for number, size in enumerate(sizes):
            write_shard(data / split, number, [example(start + i, split, side) for i in range(size)], side)
            start += size
    return data
