"""How many planted twins the audit finds, where it agrees with a person, and how long it takes for many photos.

Takes: a data set for `planted` and `judged`; nothing for `scale`. Gives: a table.

    python bench/audit.py judged --data DATA                 # flowers104-224: pairs that a person has judged
    python bench/audit.py planted --data DATA --photos 300   # six kinds of twins of each photo, and two mixtures
    python bench/audit.py scale --photos 100000              # drawn thumbnails: no data, no decoding

`planted` counts as false every pair of two different photos that is found among the copies, but for pairs of which the
photos themselves were found to be twins before anything was planted.
"""

import argparse
import csv
import io
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from corolla.audit.sources import gather
from corolla.images import decode
from corolla.likeness import SIDE, compare, find_twins
from corolla.likeness.twins import features
from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.records.shards import Found, find_split, read_split
from corolla.types import Example

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def resized(photo: Image.Image, _: np.random.Generator) -> Image.Image:
    return photo.resize((photo.width // 2, photo.width // 2), Image.Resampling.BICUBIC).resize((192, 192))


def cropped(photo: Image.Image, random: np.random.Generator, kept: float = 0.9) -> Image.Image:
    """A tenth of either side is cut off, at any place."""
    side = round(photo.width * kept)
    top, left = random.integers(0, photo.width - side + 1, 2).tolist()
    part = photo.crop((left, top, left + side, top + side))
    return part.resize(photo.size, Image.Resampling.LANCZOS)


def middle(photo: Image.Image, wide: float, tall: float) -> Image.Image:
    """What is left where others have cut to a square a photo of 4:3, and here it was pressed or laid on one."""
    w, h = photo.size
    box = ((1 - wide) / 2 * w, (1 - tall) / 2 * h, (1 + wide) / 2 * w, (1 + tall) / 2 * h)
    return photo.resize((w, h), Image.Resampling.BICUBIC, box)


def brightened(photo: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(factor)


def mirrored(photo: Image.Image, _: np.random.Generator) -> Image.Image:
    return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


KINDS: dict[str, tuple[int, Change]] = {
    "resized": (92, resized),
    "recompressed q50": (50, lambda photo, _: photo),
    "mirrored": (92, mirrored),
    "cropped 10 %": (92, cropped),
    "brightness +20 %": (92, lambda photo, _: brightened(photo, 1.2)),
    "brightness -20 %": (92, lambda photo, _: brightened(photo, 0.8)),
    "all of these": (
        50,
        lambda photo, random: resized(brightened(cropped(mirrored(photo, random), random), 1.2), random),
    ),
    "pressed to a square": (92, lambda photo, _: middle(photo, 0.75, 1.0)),
    "laid on a square": (92, lambda photo, _: middle(photo, 0.75, 0.75)),
    "cropped 20 %": (92, lambda photo, random: cropped(photo, random, 0.8)),
}
"""JPEG quality and change of each kind of twin."""
ASKED = 6
"""The first kinds are those that the audit promises to find."""


def encoded(photo: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=quality)
    return content.getvalue()


def write(folder: Path, name: str, examples: list[Example]) -> Path:
    write_records(folder / name / "train" / f"00-{len(examples)}.tfrec", map(encode_example, examples))
    return folder / name


def planted(data: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    records = [item.example for item in read_split(find_split(data, "train")) if isinstance(item, Found)]
    chosen = [records[i] for i in sorted(random.choice(len(records), count, replace=False).tolist())]
    photos = [Image.fromarray(decode(each.image)) for each in chosen if isinstance(each.image, bytes)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        before = {(t.first, t.second) for t in find_twins(gather([write(folder, "before", chosen)]).photos())}
        print(f"{count} photos, {len(before)} pairs of them twins before anything is planted")
        sources = [write(folder, "photos", chosen)]
        for name, (quality, change) in KINDS.items():
            copies = [encoded(change(photo, random), quality) for photo in photos]
            examples = [Example(each.id, each.label, copy) for each, copy in zip(chosen, copies, strict=True)]
            sources.append(write(folder, name, examples))
        begin, cpu = time.perf_counter(), time.process_time()
        twins = find_twins(gather(sources).photos())
        report(twins, count, before, time.perf_counter() - begin, time.process_time() - cpu)


def report(twins: list, count: int, before: set[tuple[int, int]], seconds: float, cpu: float) -> None:
    found = np.zeros(len(KINDS), int)
    true = false = 0
    asked_false = asked_true = 0
    for twin in twins:
        (a, one), (b, other) = divmod(twin.first, count), divmod(twin.second, count)
        same = one == other or (min(one, other), max(one, other)) in before
        asked = max(a, b) <= ASKED
        true, false = true + same, false + (not same)
        asked_true, asked_false = asked_true + (same and asked), asked_false + (not same and asked)
        if a == 0 and one == other:
            found[b - 1] += 1
    for (name, _), times in zip(KINDS.items(), found, strict=True):
        print(f"{name:<20} {times:>5} of {count}  {times / count:.2%}")
    asked = found[:ASKED].sum()
    print(f"the first {ASKED}: {asked / ASKED / count:.2%} found")
    print(f"false pairs: {asked_false} of {asked_true + asked_false} among them; {false} of {true + false} in all")
    print(f"{seconds:.0f} s, {cpu:.0f} s of one core, for {count * (len(KINDS) + 1):,} photos, reading included")


# ----------------------------------------------------------------------------------------------------------- judged

JUDGED = Path(__file__).parents[1] / "tests" / "likeness" / "judged.csv"
"""Pairs of ids, and whether they show the same: of an SSIM of 0.5 to 0.78 on flowers104-224, seen side by side."""


def judged(data: Path) -> None:
    """What each limit of features would find, by SSIM too: by this `likeness.twins` has its own."""
    gathered = gather([data])
    numbers = {record.id: i for i, record in enumerate(gathered.records)}
    rows = [row for row in csv.DictReader(JUDGED.read_text().splitlines()) if row["shows"] != "unclear"]
    pairs = [sorted((numbers[row["first"]], numbers[row["second"]])) for row in rows]
    same = np.array([row["shows"] == "same" for row in rows])
    seen = features(gathered.photos(), sorted({i for pair in pairs for i in pair}))
    cosines = np.array([seen[one] @ seen[other] for one, other in pairs])
    print(f"{same.sum()} pairs of the same, {(~same).sum()} of others")
    for limit in np.arange(0.86, 0.97, 0.01):
        print(
            f"features from {limit:.2f}: {(same & (cosines >= limit)).sum()} and {(~same & (cosines >= limit)).sum()}"
        )
    twins = {(twin.first, twin.second) for twin in find_twins(gathered.photos())}
    found = np.array([tuple(pair) in twins for pair in pairs])
    print(f"called twins, by SSIM and features: {(same & found).sum()} and {(~same & found).sum()}")


# ------------------------------------------------------------------------------------------------------------ scale


def drawn(count: int, seed: int = 0, poses: int = 400, share: float = 0.7) -> NDArray[np.uint8]:
    """Thumbnails with the spectrum of photos, around some poses, that look alike about as often as flowers do."""
    random = np.random.default_rng(seed)
    order = np.arange(SIDE)
    fall = 1 / np.maximum(np.hypot(order[:, None], order[None]), 1)
    waves = np.cos(np.pi * order[:, None] * (order + 0.5) / SIDE).astype(np.float32)
    common = random.normal(size=(poses, SIDE, SIDE)).astype(np.float32)
    found = np.empty((count, SIDE, SIDE), np.uint8)
    for first in range(0, count, 4096):
        many = min(4096, count - first)
        own = random.standard_normal((many, SIDE, SIDE), np.float32)
        mixed = share**0.5 * common[random.integers(0, poses, many)] + (1 - share) ** 0.5 * own
        pixels = waves.T @ ((mixed * fall).astype(np.float32)) @ waves
        pixels *= 45 / pixels.std(axis=(1, 2), keepdims=True)
        found[first : first + many] = np.clip(pixels + 120, 0, 255)
    return found


def scale(count: int) -> None:
    thumbnails = drawn(count)
    copies = count // 50
    for i in range(copies):  # twins with noise
        noise = np.random.default_rng(i).normal(0, 4, (SIDE, SIDE))
        thumbnails[-1 - i] = np.clip(thumbnails[i] + noise, 0, 255)
    begin, cpu = time.perf_counter(), time.process_time()
    found = compare(thumbnails)
    pairs = found.pairs
    right = (pairs.second == count - 1 - pairs.first) & (pairs.first < copies) & (found.aligned.ssim >= 0.75)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{count:,} thumbnails: {len(pairs):,} pairs compared ({2 * len(pairs) / count**2:.1e} of all)")
    print(f"{right.sum()} of {copies} planted found; {(found.aligned.ssim >= 0.75).sum() - right.sum()} others")
    print(
        f"{time.perf_counter() - begin:.0f} s, {time.process_time() - cpu:.0f} s of one core, at most {memory:.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["planted", "judged", "scale"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.what == "scale":
        scale(asked.photos)
    elif asked.data is None:
        parser.error(f"{asked.what} needs --data")
    elif asked.what == "judged":
        judged(asked.data)
    else:
        planted(asked.data, asked.photos, asked.seed)


if __name__ == "__main__":
    main()
