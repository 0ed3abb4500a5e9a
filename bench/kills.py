"""Whether a run that is killed ends as if it had not been: SIGKILL at random moments, resumed, compared to the bit.

Takes: a data folder, how many kills, options of `corolla train`. Gives: a line a kill, and how many ended the same.

    corolla sample runs/small --image-size 32
    python bench/kills.py runs/small --kills 20 --model micro --weights none --image-size 32 --epochs 2
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from corolla.run import RunFolder


def start(data: Path, out: Path, words: list[str]) -> subprocess.Popen:
    asked = [
        sys.executable,
        "-m",
        "corolla.cli",
        "train",
        str(data),
        "--out",
        str(out),
        "--checkpoint-minutes",
        "0",
        *words,
    ]
    return subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def result(out: Path) -> list[np.ndarray]:
    """Everything a run learned: its last checkpoint and its best weights."""
    last = RunFolder(out).newest_checkpoint()[0]
    assert last is not None
    arrays = [*sorted(last.arrays.items()), *sorted(RunFolder(out).best().arrays.items())]
    return [value for _, value in arrays]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    wish, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        assert start(wish.data, Path(place) / "whole", words).wait() == 0
        seconds, wanted, same = time.perf_counter() - begin, result(Path(place) / "whole"), 0
        print(f"uninterrupted: {seconds:.1f} s", flush=True)
        for number in range(wish.kills):
            out, moment = Path(place) / f"killed{number}", random.Random(number).uniform(0, seconds)
            running = start(wish.data, out, words)
            time.sleep(moment)
            running.kill()
            running.wait()
            begin = time.perf_counter()
            code = start(wish.data, out, words).wait()
            again = result(out) if code == 0 else []
            equal = len(again) == len(wanted) and all(map(np.array_equal, again, wanted))
            same += equal
            took = time.perf_counter() - begin
            print(f"killed after {moment:5.1f} s, ended after {took:5.1f} s more: {'the same' if equal else 'ANOTHER'}")
            sys.stdout.flush()
        print(f"{same} of {wish.kills} ended the same")
    sys.exit(same != wish.kills)


if __name__ == "__main__":
    main()
