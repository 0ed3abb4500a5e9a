"""Seconds an epoch of the custom loop and of Keras' `fit`: the same model, data, batch and steps, in turn.

Takes: a data folder, and options of `corolla train`. Gives: a line a loop, and the ratio.

    python bench/loops.py runs/sample --rounds 2

Counted are the train steps of the second epoch (compiling and warming up lie before it), without evaluation.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

LOOPS = ("jax", "keras")


def epoch_seconds(data: Path, loop: str, words: list[str]) -> tuple[float, float]:
    """Seconds of the steps of the second epoch, and macro F1 at its end."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        asked = ["train", str(data), "--out", str(out), "--loop", loop, "--epochs", "2", *words]
        subprocess.run([sys.executable, "-m", "corolla.cli", *asked], check=True, capture_output=True)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return lines[2]["seconds"]["train"] - lines[1]["seconds"]["train"], lines[2]["val_macro_f1_present"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    wish, words = parser.parse_known_args()
    found: dict[str, list[tuple[float, float]]] = {loop: [] for loop in LOOPS}
    for _ in range(wish.rounds):
        for loop in LOOPS:
            found[loop].append(epoch_seconds(wish.data, loop, words))
            print(f"{loop:6} {found[loop][-1][0]:8.2f} s an epoch   macro F1 {found[loop][-1][1]:.4f}", flush=True)
    jax, keras = (median(seconds for seconds, _ in found[loop]) for loop in LOOPS)
    print(f"keras / jax: {keras / jax:.2f}   (medians of {wish.rounds}, {os.cpu_count()} cores, {' '.join(words)})")


if __name__ == "__main__":
    main()
