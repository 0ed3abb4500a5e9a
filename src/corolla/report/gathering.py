"""What the page needs photos for: gathered of the data, and of what the run's model sees in them.

Takes: a `Told`, an `Album`. Gives: `Seen`.
"""

from corolla.report import atlas, looking, scores
from corolla.report.photos import Album
from corolla.report.reading import Told
from corolla.report.seen import Seen
from corolla.reporter import Reporter

_FOLDS = (
    "The photos were judged by different folds' models: see the report of each fold by itself for maps and neighbours."
)


def seen_of(told: Told, album: Album, compared: int, reporter: Reporter) -> Seen:
    """Photos, nearest ones and maps of a run. Raises DataError (broken data, or other data than the run's)."""
    wrong, looked = told.wrong[: atlas.MOST].tolist(), atlas.looked_at(told)
    shown = {i for each in scores.shown_of_pairs(told).values() for i in each}
    images = album.judge(told, {*wrong, *shown, *(i for i, _ in looked)})
    seen = Seen(images)
    if len(told.runs) > 1:
        seen.why = _FOLDS
        return seen
    if compared and wrong:
        labels = {int(label) for i in wrong for label in (told.predictions.labels[i], told.predicted[i])}
        taught = album.taught(told, sorted(labels), compared)
        found = looking.nearest(told.runs[0], [images[i] for i in wrong], taught, reporter)
        seen.near, seen.compared = dict(zip(wrong, found, strict=True)), len(taught)
    if looked:
        reporter.note("drawing where it looked")
        photos, labels = [i for i, _ in looked], [label for _, label in looked]
        maps, seen.exact = looking.maps(told.runs[0], [images[i] for i in photos], labels, photos)
        seen.maps = dict(zip(looked, maps, strict=True))
    return seen
