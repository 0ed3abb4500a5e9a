"""Seconds from process start until a run has reached a macro F1 on the validation split.

Takes: a data folder, a score, options of `corolla train`. Gives: a line of JSON: seconds to each evaluation and its
score, and seconds to the first that reached the target (null where none did). The run is ended then.

    python bench/cold_start.py D --target 0.95 --epochs 10
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def evaluations(metrics: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's metrics so far."""
    text = metrics.read_text() if metrics.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def watch(process: subprocess.Popen, metrics: Path, target: float, begin: float) -> dict[str, Any]:
    """Look at a run's metrics until it reaches the target or ends."""
    seen: list[list[float]] = []
    while True:
        ended = process.poll() is not None
        for line in evaluations(metrics)[len(seen) :]:
            seen.append([round(time.perf_counter() - begin, 2), line["val_macro_f1_present"]])
            print(f"{seen[-1][0]:8.1f} s  macro F1 {seen[-1][1]:.4f}", file=sys.stderr, flush=True)
        reached = next((seconds for seconds, score in seen if score >= target), None)
        if reached is not None or ended:
            return {"target": target, "seconds": reached, "evaluations": seen}
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", type=float, default=0.95)
    wish, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        asked = [sys.executable, "-m", "corolla.cli", "train", str(wish.data), "--out", str(out), *words]
        begin = time.perf_counter()
        process = subprocess.Popen(asked, stdout=subprocess.DEVNULL)
        try:
            found = watch(process, out / "metrics.jsonl", wish.target, begin)
        finally:
            process.kill()
            process.wait()
    print(json.dumps(found))
    sys.exit(found["seconds"] is None)


if __name__ == "__main__":
    main()
