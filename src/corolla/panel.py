"""Several runs heard on one split, one after the other.

Takes: run folders, a data folder. Gives: `hear`: what each says of every photo, in one order; and what no panel can be
made of (`refuse_mixed`), or where nothing can be written (`refuse_folder`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corolla.errors import DataError, WishError
from corolla.judge import Judged, judge
from corolla.reporter import Reporter
from corolla.run import runs_of
from corolla.storage import AnyPath, any_path, refuse_unwritable
from corolla.types import OnBadRecord, Tta


@dataclass(frozen=True)
class Heard:
    """The photos of a split, as the first run found them, and what members say: float[members, n, classes]."""

    first: Judged
    stack: NDArray


def hear(
    members: Sequence[Sequence[str]],
    data: AnyPath,
    split: str,
    tta: Tta,
    on_bad_record: OnBadRecord,
    reporter: Reporter,
) -> Heard:
    """Have runs judge a split. members: the runs of each, whose mean is what the member says.

    Raises RunError (damaged weights), DataError (broken data; a record without id; runs that found other records).
    """

    def member(own: Sequence[str]) -> list[Judged]:
        return [judge(any_path(run), data, split, tta, on_bad_record, labels=False, reporter=reporter) for run in own]

    judged = [member(own) for own in members]
    first = judged[0][0]
    for one in (one for own in judged for one in own):
        check_ids(one.folder, one.ids, first.folder, first.ids)
    stack = [np.mean([one.probabilities[rows_of(first.ids, one.ids)] for one in own], axis=0) for own in judged]
    return Heard(first, np.stack(stack))


def check_ids(folder: AnyPath, ids: list[str], first_folder: AnyPath, first_ids: list[str]) -> None:
    """Raise DataError where a record has no id, or where two folders hold different records."""
    if "" in ids:
        raise DataError(f"{folder}: record {ids.index('')} has no id, so nobody could tell what was said of it")
    if set(ids) != set(first_ids):
        odd = sorted(set(ids) ^ set(first_ids))[0]
        raise DataError(f"{folder} and {first_folder} hold different records, such as id {odd}")


def rows_of(wanted: list[str], ids: list[str]) -> list[int]:
    """The row among `ids` of each wanted id."""
    place = {name: i for i, name in enumerate(ids)}
    return [place[name] for name in wanted]


def refuse_mixed(runs: Sequence[AnyPath]) -> None:
    """Raise WishError where runs do not know the same labels under the same numbers; RunError where one is no run."""
    names = [runs_of(run)[0].names() for run in runs]
    for run, other in zip(runs, names, strict=True):
        if other != names[0]:
            raise WishError(f"{run} and {runs[0]} were trained with other label names: they cannot be averaged")


def refuse_folder(out: AnyPath, example: str) -> None:
    """Raise before minutes of work what could not be written at their end. example: a name for the file."""
    refuse_unwritable(out)
    if out.is_dir():
        raise WishError(f"--out {out} is a folder: name a file, such as {out / example}")
