"""Growing: a run for each of several image sizes, the smallest first, each from the weights of the one before.

Takes: a data folder, settings, image sizes that ascend, epochs for each. Gives: run folders `size-192`, `size-224`, ...
The last is the result, a run as any other; its scores are returned.

An epoch costs as the pixels do, so most of the learning is done small, and little at the size that is wished for.
Progressive resizing: Howard (fast.ai, 2018); Tan & Le (EfficientNetV2, 2021, https://arxiv.org/abs/2104.00298). Random
crops show flowers larger than they are judged; a short fine-tuning at a larger size makes up for it: Touvron et al.
(FixRes, 2019, https://arxiv.org/abs/1906.06423).

The same command takes it up where it was stopped: finished sizes are kept.
"""

import gc
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from corolla import hosts
from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.metrics import Scores
from corolla.reporter import SILENT, Reporter
from corolla.run import SIZE, RunFolder
from corolla.storage import AnyPath, refuse_unwritable
from corolla.train import train

LEAST_MINUTES = 0.1
"""The least that `--minutes` can be."""


def grow(
    data: AnyPath,
    out: AnyPath,
    settings: TrainSettings,
    sizes: Sequence[int],
    epochs: Sequence[int] = (5,),
    reporter: Reporter = SILENT,
) -> tuple[Scores, AnyPath]:
    """Train a run for each of `sizes` under `out`; return the scores of the last, and its folder.

    settings: of all runs, but for `image_size` and `epochs`; its `weights` are those of the first; its `minutes` are
    divided by pixels x epochs among the sizes that are not finished. epochs: one number for all sizes, or one for each.
    Raises WishError (sizes that do not ascend, other numbers of epochs, an `out` that holds other sizes or a run) and
    whatever `train` raises.
    """
    refuse_unwritable(out)
    parts, runs = parts_of(settings, sizes, epochs), [out / f"{SIZE}{size}" for size in sizes]
    left = hosts.from_first(lambda: _left(out, runs))
    scores, ends = [], dict(zip(left, deadlines([parts[i] for i in left]), strict=True))
    for number, (part, run) in enumerate(zip(parts, runs, strict=True)):
        reporter.note(f"{part.image_size} px, size {number + 1} of {len(parts)}")
        weights = str(runs[number - 1]) if number else settings.weights
        scores.append(train(data, run, replace(part, weights=weights, minutes=ends.get(number)), reporter))
        gc.collect()  # pixels and programs of the size before
    return scores[-1], runs[-1]


def parts_of(settings: TrainSettings, sizes: Sequence[int], epochs: Sequence[int]) -> list[TrainSettings]:
    """The settings of each size. Raises WishError where sizes do not ascend, or epochs do not match them."""
    if not sizes or any(one >= after for one, after in pairwise(sizes)):
        raise WishError(f"--sizes {_listed(sizes)}: sizes must ascend, each from the weights of a smaller one")
    if len(epochs) not in (1, len(sizes)):
        raise WishError(f"--epochs {_listed(epochs)}: give one number, or one for each of the {len(sizes)} --sizes")
    each = list(epochs) * len(sizes) if len(epochs) == 1 else epochs
    return [replace(settings, image_size=size, epochs=count) for size, count in zip(sizes, each, strict=True)]


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) or "(none)"


def deadlines(parts: Sequence[TrainSettings]) -> list[float | None]:
    """When each part is to end, in minutes since the start of the process, as `train` counts them; None: never.

    By pixels x epochs. What a part does not use, the next ones have. One of no epochs is its probe: it has no share.
    """
    costs = [part.epochs * part.image_size**2 for part in parts]
    ends = accumulate(costs)
    return [
        max(part.minutes * end / sum(costs), LEAST_MINUTES) if part.minutes is not None and part.epochs else None
        for part, end in zip(parts, ends, strict=True)
    ]


def _left(out: AnyPath, runs: Sequence[AnyPath]) -> list[int]:
    """Which runs are not finished. Refuses a folder in which something else was grown: its runs have other weights."""
    if RunFolder(out).exists():
        raise WishError(f"{out} is a run folder itself: choose another --out, to hold one for each size")
    names = [run.name for run in runs]
    for other in sorted(out.iterdir()) if out.is_dir() else ():
        if other.name.startswith(SIZE) and other.name not in names:
            raise WishError(f"{out} holds {other.name}, which is not among --sizes: choose another --out")
    return [number for number, run in enumerate(runs) if not RunFolder(run).finished()]
