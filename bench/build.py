"""`corolla build` against a plain Pillow script that does the same: photos/s, 224 and 512 px from full-size photos.

Takes: a folder of photos (any depth), or none, for painted ones of 12 megapixels. Gives: photos/s of both, alternating
in the same run, so that whatever else the machine does slows both. Both read each file once, turn it as EXIF says, cut
out the centred square, scale it with Lanczos' filter, write JPEGs of quality 95 with 4:2:0 chroma, and pack them as
records into shards. Both have the same number of threads: Pillow, too, lets go of Python's lock.

    python bench/build.py --photos FOLDER --rounds 3
"""

import argparse
import io
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from corolla.build import build
from corolla.config import BuildWish
from corolla.records.example import encode_example
from corolla.records.framing import write_records
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "mine" / "rose"
        folder.mkdir(parents=True)
        if wish.photos:
            count = gathered(wish.photos, folder, wish.most)
        else:
            painted(folder, count := min(wish.most, 64))
        rates: dict[str, list[float]] = {"corolla": [], "pillow": []}
        for turn in range(wish.rounds):
            for side, work in (("corolla", by_corolla), ("pillow", by_pillow)):
                out, begin = Path(name) / f"{side}{turn}", time.perf_counter()
                work(folder, out, wish.threads)
                rates[side].append(count / (time.perf_counter() - begin))
                shutil.rmtree(out)
        best = {side: max(found) for side, found in rates.items()}
        for side, found in rates.items():
            print(f"{side:8s} {' '.join(f'{rate:6.1f}' for rate in found)} photos/s, best {best[side]:.1f}")
        print(f"{count} photos, {wish.threads} threads: {best['corolla'] / best['pillow']:.2f} times as fast as Pillow")


if __name__ == "__main__":
    main()
