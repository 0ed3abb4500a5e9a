"""What each ingredient of a recipe gives: the same training with and without it, over several seeds.

Takes: a data folder, a folder for the runs. Gives: a table in Markdown: macro F1 of each recipe's best epochs (mean
over the seeds, least to most) and of its last ones, its difference from the first recipe, seconds.

    python bench/ablation.py DATA --out RUNS [--seeds 0 1 2] [--only NAME ...] [--base "--epochs 3 ..."]

Every run is `corolla train DATA` with the options of BASE and of the row; finished runs are kept, so a stopped ablation
goes on, and a table of what is finished comes from `--table`. The difference has a 95 % interval from resampling the
photos that judge, the same ones for both recipes and all seeds; chance of the seeds is not in it.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corolla.metrics import confusion_matrix, interval, macro_f1
from corolla.run import RunFolder

BASE = "--image-size 160 --epochs 3 --label-smoothing 0.1"

RECIPES = {
    "base": "",
    "levels-1": "--levels 1",
    "lr-3": "--learning-rate 1e-3",
    "lr-4": "--learning-rate 1e-4",
    "all-blocks": "--train-blocks -1",
    "layer-decay": "--layer-decay 0.8",
    "no-smoothing": "--label-smoothing 0",
    "no-average": "--ema 0",
    "logits": "--logit-adjustment 1",
    "effective": "--class-weights effective",
    "balanced": "--balanced-sampling 0.5",
    "focal": "--focal 2",
    "colours": "--brightness 0.2 --contrast 0.2 --saturation 0.2",
    "geometry": "--rotate 15 --zoom 0.2",
    "erase": "--erase 0.25",
    "mixup": "--mixup 0.2",
    "cutmix": "--cutmix 1",
    "no-crops": "--crop-area 1",
    "longer": "--epochs 6",
    "distilled": "--soft-labels OUT/teacher.npz",
    "pseudo": "--pseudo OUT/pseudo.npz",
}
"""What each row says beside the base; the first one is compared with. OUT is the folder of the runs, where what
`corolla distill` and `corolla pseudo` wrote is looked for."""

DRAWS = 1000


def train(data: Path, run: Path, options: str, seed: int) -> None:
    """Run the command, unless it has been run."""
    if RunFolder(run).finished():
        return
    options = options.replace("OUT", shlex.quote(str(run.parent)))
    words = [sys.executable, "-m", "corolla.cli", "train", str(data), "--out", str(run), "--seed", str(seed)]
    with run.with_suffix(".log").open("w") as log:
        subprocess.run([*words, *shlex.split(options)], check=True, stdout=log, stderr=subprocess.STDOUT)


def finished(out: Path, name: str, seeds: list[int]) -> list[RunFolder]:
    """The runs of a recipe that have ended."""
    return [run for seed in seeds if (run := RunFolder(out / f"{name}-{seed}")).finished()]


def told(runs: list[RunFolder]) -> tuple[NDArray, list[NDArray]]:
    """Labels int[n], and what each run predicted for the photos that judge, int[n]."""
    each = [run.predictions("predictions") for run in runs]
    return each[0].labels, [one.probabilities.argmax(axis=1) for one in each]


def mean_macro_f1(labels: NDArray, predictions: list[NDArray], weights: NDArray) -> float:
    """Of several runs; weights: how often each photo counts."""
    classes = int(labels.max()) + 1
    rows = np.repeat(np.arange(len(labels)), weights)
    each = [confusion_matrix(labels[rows], one[rows], max(classes, one.max() + 1)) for one in predictions]
    return float(np.mean([macro_f1(one, present_only=True) for one in each]))


def difference(labels: NDArray, before: list[NDArray], after: list[NDArray]) -> tuple[float, tuple[float, float]]:
    """Mean macro F1 of `after` minus that of `before`, and its interval; photos are drawn anew within their class."""
    random, found = np.random.default_rng(0), []
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for draw in range(DRAWS + 1):
        weights = np.ones(len(labels), np.int64)
        if draw:
            for rows in groups:
                weights[rows] = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
        found.append(mean_macro_f1(labels, after, weights) - mean_macro_f1(labels, before, weights))
    return found[0], interval(np.array(found[1:]))


def seconds(run: RunFolder) -> float:
    """What all parts of a run took together, but for starting."""
    return sum(run.metrics()[-1]["seconds"].values())


def last(run: RunFolder) -> float:
    """Macro F1 after the last epoch, which need not be the best: the probe may be."""
    return run.metrics()[-1]["val_macro_f1_present"]


def table(out: Path, names: list[str], seeds: list[int]) -> str:
    """Of what has ended."""
    columns = ("options", "macro F1, mean (least to most)", "last epoch", "seeds", "difference", "seconds")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    base = finished(out, names[0], seeds)
    for name in names:
        runs = finished(out, name, seeds)
        shared = [run.path.name.rsplit("-", 1)[1] for run in runs]
        same = [run for run in base if run.path.name.rsplit("-", 1)[1] in shared]
        if not runs or not same:
            continue
        scores = [run.scores()["macro_f1_present"] for run in runs]
        told_by = f"{np.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})"
        after, gain = np.mean([last(run) for run in runs]), ""
        if name != names[0]:
            value, (low, high) = difference(told(runs)[0], told(same)[1], told(runs)[1])
            gain = f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
        took = np.mean([seconds(run) for run in runs])
        what = f"`{RECIPES[name]}`" if RECIPES[name] else "as it is"
        lines.append(f"| {what} | {told_by} | {after:.4f} | {len(runs)} | {gain} | {took:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--table", action="store_true", help="print what is finished, and run nothing")
    wish = parser.parse_args()
    wish.out.mkdir(parents=True, exist_ok=True)
    names = [next(iter(RECIPES)), *(name for name in wish.only if RECIPES[name])]
    for seed in [] if wish.table else wish.seeds:  # a seed of all rows first: half an ablation compares too
        for name in names:
            train(wish.data, wish.out / f"{name}-{seed}", f"{wish.base} {RECIPES[name]}", seed)
            print(name, seed, file=sys.stderr, flush=True)
    print(table(wish.out, names, wish.seeds))


if __name__ == "__main__":
    main()
