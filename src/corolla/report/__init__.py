"""The report: one page on one or several finished runs, to be read, sent and printed.

Takes: run folders, and the data where photos are wanted. Gives: one HTML file that needs no other, and `Report`, what a
machine may read of it.

Without data it takes neither JAX nor Keras, and a second or two. With data a run's model looks at some of the photos
that it learned from, which takes as long as predicting them.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corolla.checkpoint import write_file
from corolla.config import refuse_outside
from corolla.errors import RunError, WishError
from corolla.page import Markup, contents, element, page
from corolla.report import atlas, comparing, scores, training
from corolla.report.comparing import Difference
from corolla.report.reading import Told, read
from corolla.report.seen import Seen
from corolla.reporter import SILENT, Reporter
from corolla.storage import AnyPath, any_path, refuse_unwritable

__all__ = ["COMPARED", "Report", "report"]

COMPARED = 800
"""Photos that a run has learned from, among which the nearest to its mistakes are sought."""

_MOST_COMPARED = 100_000


@dataclass(frozen=True)
class Report:
    """Where the page is, and what stands in it."""

    path: AnyPath
    runs: list[Told]
    differences: list[Difference | None]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        differences = [each and each.to_json() for each in self.differences]
        return {"path": str(self.path), "runs": [_plain(told) for told in self.runs], "differences": differences}


def report(
    runs: Sequence[AnyPath | str],
    data: AnyPath | str | None = None,
    out: AnyPath | str = "report.html",
    compared: int = COMPARED,
    reporter: Reporter = SILENT,
) -> Report:
    """Write the page. data: the folder that the runs were trained on, for photos; compared: see `COMPARED`; 0: none.

    Raises WishError (no run, one twice, runs of other labels, `out` no page), RunError (no run, one that is not
    finished or is damaged; `out` cannot be written), DataError (broken data, or other data than a run's).
    """
    out = any_path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise WishError(f"--out {out}: a report is a page: name it .html")
    refuse_outside("compared", compared, 0, _MOST_COMPARED)
    _refuse_place(out)
    told = read(runs)
    seen = _seen(told, None if data is None else any_path(data), compared, reporter)
    found = comparing.differences(told)
    write_file(out, _page(told, seen, found))
    return Report(out, told, found)


def _refuse_place(out: AnyPath) -> None:
    """Before the work: a place where no file can be written."""
    refuse_unwritable(out)
    if not isinstance(out, Path):
        return
    if out.is_dir():
        raise WishError(f"--out {out} is a folder: name a file, such as {out / 'report.html'}")
    there = next(place for place in out.absolute().parents if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        what = "may not be written to" if there.is_dir() else "is a file"
        raise RunError(f"--out {out} cannot be written: {there} {what}: choose another place")


def _seen(runs: Sequence[Told], data: AnyPath | None, compared: int, reporter: Reporter) -> list[Seen]:
    if data is None:
        return [Seen(why="Without --data DATA there are no photos here.") for _ in runs]
    from corolla.report.gathering import seen_of  # here JAX and Keras are imported
    from corolla.report.photos import Album

    album = Album(data, reporter)
    return [seen_of(told, album, compared // len(runs), reporter) for told in runs]


# The page ---------------------------------------------------------------------------------------------------------


def _page(runs: Sequence[Told], seen: Sequence[Seen], found: Sequence[Difference | None]) -> bytes:
    several = len(runs) > 1
    pieces = [*([comparing.compared(runs, found)] if several else []), training.curves(runs), training.time(runs)]
    links = [*([("comparison", "Comparison")] if several else []), ("training", "Training"), ("time", "Time")]
    for place, (told, each) in enumerate(zip(runs, seen, strict=True)):
        made, names = _of_run(told, each, f"-{place}" if several else "", f" · {told.name}" if several else "")
        pieces += made
        links += names
    pieces.append(training.repeat(runs))
    links.append(("repeat", "How to repeat it"))
    title = "Report: " + ", ".join(told.name for told in runs)
    return page(title, *([_about(runs[0]), scores.headline(runs[0])] if not several else []), contents(links), *pieces)


def _of_run(told: Told, seen: Seen, mark: str, of: str) -> tuple[list[Markup], list[tuple[str, str]]]:
    """The sections on one run, and the links to them. mark: for their names; of: for their titles."""
    many = f"{len(told.wrong):,}"
    made = [
        scores.classes(told, f"Classes{of}", f"classes{mark}"),
        scores.matrix(told, f"Confusion matrix{of}", f"matrix{mark}"),
        scores.pairs(told, seen.images, f"Most confused pairs{of}", f"pairs{mark}"),
        scores.reliability(told, f"Can its probabilities be believed?{of}", f"reliability{mark}"),
        atlas.mistakes(told, seen, f"Mistakes ({many}){of}", f"mistakes{mark}"),
        atlas.looks(told, seen, f"Where it looked{of}", f"looks{mark}"),
    ]
    if not of:
        short = (
            "Classes",
            "Confusion matrix",
            "Confused pairs",
            "Reliability",
            f"Mistakes ({many})",
            "Where it looked",
        )
        names = ("classes", "matrix", "pairs", "reliability", "mistakes", "looks")
        return made, list(zip(names, short, strict=True))
    head = element("section", element("h2", told.name), _about(told), scores.headline(told), id=f"run{mark}")
    return [head, *made], [(f"run{mark}", told.name)]


def _about(told: Told) -> Markup:
    settings = told.settings
    size = f"{settings['image_size']} px"
    kept = f", weights of epoch {told.epoch}" if told.epoch is not None else ""
    folds = f", {len(told.runs)} folds" if len(told.runs) > 1 else ""
    words = f"{settings['model']} at {size}{kept}{folds}; judged by {told.scores.n:,} records ({told.scores.split})."
    return element("p", words, kind="dim")


# For machines -----------------------------------------------------------------------------------------------------


def _plain(told: Told) -> dict[str, Any]:
    ids, labels = told.predictions.ids, told.predictions.labels
    return {
        "run": str(told.path),
        "name": told.name,
        "command": told.command,
        "scores": told.scores.to_json(),
        "top5_accuracy": told.top5,
        "calibration_error": told.calibration_error,
        "seconds": [history.seconds for history in told.histories],
        "mistakes": [
            {
                "id": ids[i],
                "label": int(labels[i]),
                "predicted": int(told.predicted[i]),
                "probability": float(told.predictions.probabilities[i, told.predicted[i]]),
                "likely_mislabelled": ids[i] in told.doubts,
            }
            for i in told.wrong.tolist()
        ],
        "doubts": [asdict(doubt) for doubt in told.doubts.values()],
    }
