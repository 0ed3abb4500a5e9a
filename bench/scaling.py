"""How seconds and memory grow with the number of images and of devices: the very commands, from process start to end.

Takes: numbers of images, numbers of CPU devices, a model. Gives: `docs/scaling.json`, and from it the tables in
`docs/benchmarks.md` between marks: seconds and peak memory of each, and the straight line through them.

    python bench/scaling.py                        # all of it: half an hour on two quiet cores
    python bench/scaling.py --parts read --images 1000 2000 5000

The images are synthetic: 256 pictures of smoothed noise of 224 px as JPEG, written again and again under new ids. What
is timed is `corolla check` (read, check, decode) and `corolla train` for one epoch of a very small model.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import compare
import numpy as np
from PIL import Image, ImageFilter

from corolla import classes
from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.types import Example

STORED = compare.ROOT / "docs" / "scaling.json"
BEGIN, END = "<!-- scaling: written by bench/scaling.py -->", "<!-- end of scaling -->"
SIZE, PICTURES, SHARD, VALIDATION = 224, 256, 1_000, 104


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    peak_bytes: int


# Data -------------------------------------------------------------------------------------------------------------


def pictures() -> list[bytes]:
    """The encoded pictures."""
    random, found = np.random.default_rng(0), []
    for _ in range(PICTURES):
        noise = Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
        file = io.BytesIO()
        noise.filter(ImageFilter.GaussianBlur(2)).point(lambda level: min(max(4 * level - 384, 0), 255)).save(
            file, "JPEG", quality=90
        )
        found.append(file.getvalue())
    return found


def write_split(folder: Path, count: int, encoded: list[bytes], first: int) -> None:
    """Write `count` records into shards of SHARD. first: of the ids."""
    for shard, start in enumerate(range(first, first + count, SHARD)):
        part = range(start, min(start + SHARD, first + count))
        examples = (Example(f"{i:09d}", i % classes.COUNT, encoded[i % PICTURES]) for i in part)
        write_records(folder / f"{shard:02d}-{SIZE}x{SIZE}-{len(part)}.tfrec", map(encode_example, examples))


def data_of(count: int, encoded: list[bytes]) -> Path:
    """A folder with `count` training photos, written where it is not there."""
    folder = compare.WORK / f"scaling-{count}"
    if not folder.exists():
        made = folder.with_name(folder.name + ".part")
        shutil.rmtree(made, ignore_errors=True)
        write_split(made / "train", count, encoded, 0)
        write_split(made / "val", VALIDATION, encoded, 10**8)
        made.rename(folder)
    return folder


# Running ----------------------------------------------------------------------------------------------------------


def cost(words: list[str], devices: int | None = None) -> Cost:
    """Run Corolla's command and wait for it."""
    told = {} if devices is None else {"JAX_NUM_CPU_DEVICES": str(devices)}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "corolla.cli", *words],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **told},
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"corolla {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(time.perf_counter() - begin, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def train_words(data: Path, wish: argparse.Namespace) -> list[str]:
    """One epoch of a very small model, all of it learning."""
    out = compare.WORK / "scaling-run"
    shutil.rmtree(out, ignore_errors=True)
    words = ["train", data, "--out", out, "--model", wish.model, "--weights", "none", "--epochs", "1"]
    return [str(word) for word in (*words, "--batch-size", wish.batch, "--train-blocks", "-1")]


def parts(wish: argparse.Namespace) -> Iterator[tuple[str, int, Cost]]:
    """(part, images or devices, what it took), one command after the other."""
    encoded = pictures()
    for count in wish.images:
        data = data_of(count, encoded)
        for _ in range(wish.rounds):
            if "read" in wish.parts:
                yield "read", count, cost(["check", str(data)])
            if "train" in wish.parts:
                yield "train", count, cost(train_words(data, wish))
    if "devices" in wish.parts:
        data = data_of(wish.images_of_devices, encoded)
        for _ in range(wish.rounds):
            for devices in wish.devices:
                yield "devices", devices, cost(train_words(data, wish), devices)


# The page ---------------------------------------------------------------------------------------------------------


def line_through(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """(slope, value at 0, share of the variance that the line explains) by least squares."""
    x, y = np.array(points).T
    slope, start = np.polyfit(x, y, 1)
    rest = y - (slope * x + start)
    return float(slope), float(start), 1 - float((rest**2).sum() / ((y - y.mean()) ** 2).sum())


def table(stored: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    shown = []
    for part, title in (("read", "images, `corolla check`"), ("train", "images, `corolla train`"), ("devices", "")):
        if part not in stored:
            continue
        rows = stored[part]["measured"]
        title = title or f"CPU devices, `corolla train` of {stored[part]['wish']['images_of_devices']:,} images"
        shown += [f"| {title} | seconds | peak memory |", "|---|---|---|"]
        for number in sorted({row[0] for row in rows}):
            same = [row for row in rows if row[0] == number]
            seconds = ", ".join(f"{row[1]:.1f}" for row in same)
            shown.append(f"| {number:,} | {seconds} | {max(row[2] for row in same) / 1e9:.2f} GB |")
        shown.append("")
        if part != "devices" and len({row[0] for row in rows}) > 1:
            seconds = line_through([(row[0], row[1]) for row in rows])
            memory = line_through([(row[0], row[2]) for row in rows])
            shown += [
                f"Least squares: {1e3 * seconds[0]:.2f} ms an image and {seconds[1]:.1f} s (R² {seconds[2]:.4f}); "
                f"{memory[0] / 1e3:.0f} kB an image and {memory[1] / 1e9:.2f} GB (R² {memory[2]:.4f}).",
                "",
            ]
    any_part = next(iter(stored.values()))
    shown.append(f"{any_part['date']}; {any_part['machine']}; {any_part['wish']['model']} of {SIZE} px, one epoch.")
    return "\n".join(shown)


def write(stored: dict[str, Any]) -> None:
    """The JSON, and the tables between the page's marks."""
    STORED.write_text(json.dumps(stored, indent=1) + "\n")
    compare.replace_between(compare.PAGE, BEGIN, END, table(stored))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 2_000, 5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--images-of-devices", type=int, default=5_000)
    parser.add_argument("--parts", nargs="+", default=["read", "train", "devices"])
    parser.add_argument("--model", default="micro")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    wish = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    fresh: dict[str, list[list[float]]] = {}
    for part, number, took in parts(wish):
        print(f"{part:8} {number:8,} {took.seconds:8.1f} s {took.peak_bytes / 1e9:7.2f} GB", flush=True)
        fresh.setdefault(part, []).append([number, round(took.seconds, 2), took.peak_bytes])
        about = {"date": date.today().isoformat(), "machine": compare.machine(), "wish": vars(wish)}
        stored[part] = {**about, "measured": fresh[part]}
        write({part: stored[part] for part in ("read", "train", "devices") if part in stored})


if __name__ == "__main__":
    main()
