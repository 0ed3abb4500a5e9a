"""What is wrong with a submission, and what is odd about it.

Takes: a CSV file, the data it is of, predictions where there are some. Gives: `Checked`: faults (it would be refused,
or score nothing), warnings (it would be taken), how far its classes are from train's, and the macro F1 to expect.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import calibrate, decide, soft
from corolla.classes import COUNT, NAMES
from corolla.errors import DataError
from corolla.records.shards import Found, Labels, MissingSplitError, find_split, read_split
from corolla.run import Predictions
from corolla.storage import AnyPath
from corolla.submission.reading import Written, read

SAMPLE = "sample_submission.csv"
DRAWS = 2_000
LIMIT_PERCENT = 99.0
"""Drift is warned of beyond this percentile of what chance alone gives."""

LEAST_CALIBRATING = 100
"""Labelled records from which a temperature is fitted."""

_EXAMPLES, _MOVED = 3, 5


@dataclass(frozen=True)
class Drift:
    """How far the shares of the classes are from those of train: total variation distance, the part of all photos
    that would have to change class. expected, limit: what draws from train's shares give on average, and in all but
    1 % of them. moved: the classes that differ most: label, share in train, share here.
    """

    distance: float
    expected: float
    limit: float
    moved: list[tuple[int, float, float]]


@dataclass
class Checked:
    """The result. ok: nothing is wrong with it. never_called: labels that no photo is called by."""

    path: AnyPath
    rows: int
    faults: list[str]
    warnings: list[str]
    never_called: list[int] = field(default_factory=list)
    drift: Drift | None = None
    expected_macro_f1: float | None = None
    temperature: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it can be sent in."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"path": str(self.path), "ok": self.ok}


def check(
    file: AnyPath,
    data: AnyPath,
    split: str = "test",
    predictions: Sequence[AnyPath] = (),
    image_size: int | None = None,
) -> Checked:
    """Check a submission against the records of a split (and sample_submission.csv beside it, where it stands).

    predictions: files of ids and probabilities. Those of the submission's ids tell the macro F1 to expect, if they are
    calibrated; to that end a temperature is fitted to those of other, labelled records, where there are enough.
    Raises DataError (no such file or data, predictions that do not know every id) and whatever `soft.read` raises.
    """
    written = read(file)
    files = find_split(data, split, image_size)
    wanted, _ = _records(data, split, image_size, "maybe")
    found = Checked(file, written.rows, written.faults, written.warnings)
    _compare(found, written, wanted)
    _compare_sample(found, written, files.folder)
    if not written.labels:
        return found
    labels = np.array(list(written.labels.values()))
    found.never_called = np.flatnonzero(np.bincount(labels, minlength=COUNT) == 0).tolist()
    found.drift = _drift_from_train(found, data, image_size, labels)
    if predictions:
        _expect(found, written, [soft.read(str(path), COUNT) for path in predictions])
    return found


def _records(data: AnyPath, split: str, image_size: int | None, labels: Labels) -> tuple[list[str], list[int | None]]:
    """Ids and labels of a split's records, whose images are not decoded."""
    examples = [
        found.example
        for found in read_split(find_split(data, split, image_size), on_bad_record="skip", labels=labels)
        if isinstance(found, Found)
    ]
    return [each.id for each in examples], [each.label for each in examples]


def _compare(found: Checked, written: Written, wanted: list[str]) -> None:
    """Ids against the records'."""
    missing = [name for name in wanted if name not in written.labels]
    unknown = sorted(set(written.labels) - set(wanted))
    for names, what in ((missing, "of the data have no usable row"), (unknown, "are not among the data")):
        if names:
            more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
            found.faults.append(f"{len(names)} ids {what}: {', '.join(map(repr, names[:_EXAMPLES]))}{more}")
    if written.rows != len(wanted):
        found.faults.append(f"{written.rows:,} rows, the data have {len(wanted):,} records")


def _compare_sample(found: Checked, written: Written, folder: AnyPath) -> None:
    sample = next((p for p in (folder.parent / SAMPLE, folder.parent.parent / SAMPLE) if p.is_file()), None)
    if sample is None or folder.name != "test":
        return
    wanted = read(sample)
    if set(wanted.labels) != set(written.labels):
        odd = len(set(wanted.labels) ^ set(written.labels))
        found.faults.append(f"{odd} ids differ from those of {SAMPLE}")
    elif list(wanted.labels) != list(written.labels):
        found.warnings.append(f"the ids stand in another order than in {SAMPLE}")


# ------------------------------------------------------------------------------------------------------------ drift


def _drift_from_train(found: Checked, data: AnyPath, image_size: int | None, labels: NDArray) -> Drift | None:
    try:
        _, told = _records(data, "train", image_size, "need")
    except MissingSplitError:
        found.warnings.append("there is no train split to compare the classes with")
        return None
    drifted = drift(np.bincount(np.array(told, np.int64), minlength=COUNT), np.bincount(labels, minlength=COUNT))
    if drifted.distance > drifted.limit:
        names = ", ".join(f"{NAMES[k]} {before:.1%} -> {after:.1%}" for k, before, after in drifted.moved[:_EXAMPLES])
        found.warnings.append(
            f"classes differ from train's: {drifted.distance:.1%} of the photos would have to change class, chance "
            f"alone gives {drifted.expected:.1%} and rarely {drifted.limit:.1%}: {names}"
        )
    return drifted


def drift(train: NDArray, here: NDArray, draws: int = DRAWS, seed: int = 0) -> Drift:
    """Compare counts of classes int[classes]; what chance gives is drawn: sets of as many photos by train's shares."""
    shares, own = train / max(train.sum(), 1), here / max(here.sum(), 1)
    drawn = np.random.default_rng(seed).multinomial(here.sum(), shares, size=draws) / max(here.sum(), 1)
    chance = _distance(drawn, shares)
    spread = np.sqrt(np.maximum(shares * (1 - shares), 1 / max(here.sum(), 1)))
    order = np.argsort(-np.abs(own - shares) / spread, kind="stable")[:_MOVED]
    moved = [(int(k), float(shares[k]), float(own[k])) for k in order]
    limit = float(np.percentile(chance, LIMIT_PERCENT))
    return Drift(float(_distance(own, shares)), float(chance.mean()), limit, moved)


def _distance(one: NDArray, other: NDArray) -> NDArray[np.float64]:
    return np.abs(one - other).sum(axis=-1) / 2


# --------------------------------------------------------------------------------------------------- expected score


def _expect(found: Checked, written: Written, told: Sequence[Predictions]) -> None:
    rows = {name: row for each in told for name, row in zip(each.ids, each.probabilities, strict=True)}
    missing = [name for name in written.labels if name not in rows]
    if missing:
        line = f"the predictions do not know {len(missing)} ids of {found.path}, such as {missing[0]!r}"
        raise DataError(f"{line}: name a file of predictions for this split")
    probabilities = np.stack([rows[name] for name in written.labels])
    others = [
        (label, row)
        for each in told
        for name, label, row in zip(each.ids, each.labels.tolist(), each.probabilities, strict=True)
        if name not in written.labels
    ]
    if len(others) >= LEAST_CALIBRATING:
        labels, known = np.array([label for label, _ in others]), np.stack([row for _, row in others])
        found.temperature = calibrate.temperature(labels, known)
        probabilities = calibrate.scaled(probabilities, found.temperature)
    else:
        found.warnings.append(
            "the probabilities were taken as they are: give out-of-fold predictions too, to calibrate"
        )
    found.expected_macro_f1 = decide.expected_macro_f1(probabilities, np.array(list(written.labels.values())))
