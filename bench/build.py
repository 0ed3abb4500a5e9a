"""`corolla build` against a plain Pillow script that does the same: photos/s, 224 and 512 px from full-size photos.

Takes: a folder of photos (any depth); or a data set, of which photos of 750 x 500 px are put together from six records
each, so that no two look alike; or nothing, for painted ones of 12 megapixels. Gives: photos/s of both, alternating in
the same run, so that whatever else the machine does slows both, and the processor time of a photo, which says what
a machine with nothing else to do would reach. Both read each file once, turn it as EXIF says, cut out the centred
square, scale it with Lanczos' filter, write JPEGs of quality 95 with 4:2:0 chroma, and pack them as records into
shards. Both have the same number of threads: Pillow, too, lets go of Python's lock. What only Corolla does (SHA-256,
look-alikes, splits, manifest) counts against it.

    python bench/build.py --data DATA --rounds 5
"""

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from corolla.build import build
from corolla.config import BuildWish
from corolla.images import decode
from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.records.shards import Found, find_split, read_split
from corolla.types import Example

SIZES = (224, 512)


def painted(folder: Path, count: int) -> None:
    """Photos of 4000 x 3000 px, as cameras make them."""
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        large = np.asarray(Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
        grain = np.random.default_rng(number).integers(-8, 9, (3000, 4000, 1), dtype=np.int16)
        Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)


def gathered(photos: Path, folder: Path, most: int) -> int:
    """Copies of the first photos, as one class; return how many."""
    found = sorted(path for path in photos.rglob("*.jpg"))[:most]
    for number, path in enumerate(found):
        shutil.copy(path, folder / f"{number}.jpg")
    return len(found)


def mosaics(data: Path, folder: Path, count: int) -> int:
    """Photos of 750 x 500 px, each of six real ones side by side; return how many."""
    records = (item.example.image for item in read_split(find_split(data, "train")) if isinstance(item, Found))
    tiles = (Image.fromarray(decode(image)).resize((250, 250)) for image in records if isinstance(image, bytes))
    for number in range(count):
        photo = Image.new("RGB", (750, 500))
        own = list(islice(tiles, 6))
        if len(own) < 6:
            return number
        for place, tile in enumerate(own):
            photo.paste(tile, (250 * (place % 3), 250 * (place // 3)))
        photo.save(folder / f"{number}.jpg", quality=90)
    return count


def one_by_pillow(path: Path) -> tuple[str, list[bytes]]:
    """What a script would do."""
    made = []
    with Image.open(path) as opened:
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    for size in SIZES:
        out = io.BytesIO()
        ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS).save(out, "JPEG", quality=95)
        made.append(out.getvalue())
    return path.stem, made


def by_pillow(folder: Path, out: Path, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(one_by_pillow, sorted(folder.iterdir())))
    for place, size in enumerate(SIZES):
        records = (encode_example(Example(name, 73, images[place])) for name, images in made)
        write_records(out / f"{size}.tfrec", records)


def by_corolla(folder: Path, out: Path, threads: int) -> None:
    build([folder.parent], out / "data", BuildWish(sizes=SIZES, threads=threads))


@dataclass
class Side:
    """One of the two: what it does, and its rounds. costs: milliseconds of processor time a photo."""

    name: str
    work: Callable[[Path, Path, int], None]
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @property
    def processor_ms(self) -> float:
        """Of a photo, in the middle round."""
        return statistics.median(self.costs)

    def run(self, folder: Path, out: Path, threads: int, count: int) -> None:
        """One round."""
        begin, used = time.perf_counter(), time.process_time()
        self.work(folder, out, threads)
        self.rates.append(count / (time.perf_counter() - begin))
        self.costs.append((time.process_time() - used) * 1000 / count)
        shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "mine" / "rose"
        folder.mkdir(parents=True)
        if wish.photos:
            count = gathered(wish.photos, folder, wish.most)
        elif wish.data:
            count = mosaics(wish.data, folder, wish.most)
        else:
            painted(folder, count := min(wish.most, 64))
        found = [Side("corolla", by_corolla), Side("pillow", by_pillow)]
        for turn in range(wish.rounds):
            for side in found:
                side.run(folder, Path(name) / f"{side.name}{turn}", wish.threads, count)
        for side in found:
            told = " ".join(f"{rate:6.1f}" for rate in side.rates)
            print(
                f"{side.name:8s} {told} photos/s, best {max(side.rates):.1f}; {side.processor_ms:.2f} ms of processor"
            )
        corolla, pillow = found
        wall, processor = max(corolla.rates) / max(pillow.rates), pillow.processor_ms / corolla.processor_ms
        print(
            f"{count} photos, {wish.threads} threads: {wall:.2f} times as fast as Pillow, {processor:.2f} by processor"
        )


if __name__ == "__main__":
    main()
