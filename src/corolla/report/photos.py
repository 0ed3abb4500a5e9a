"""The photos of a report: those that a run was judged by, and some of those that it learned from.

Takes: a data folder, runs. Gives: `Album`, whose photos are found by their ids. Data that a run was not judged by are
refused: a photo beside another one's answer would be worse than none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from corolla.config import OnBadRecord
from corolla.errors import DataError
from corolla.images import ImageError, decode, load_split
from corolla.mesh import mesh_for
from corolla.records.framing import RecordError
from corolla.records.shards import WAY_OUT, Found, find_split, read_split
from corolla.report.reading import Told
from corolla.report.seen import Pixels, Taught
from corolla.reporter import Reporter
from corolla.run import fingerprint
from corolla.share import digests
from corolla.storage import AnyPath
from corolla.types import BadRecord, Photos


@dataclass
class Album:
    """Photos of one data folder, which is read once for all runs that were judged by the same split of it."""

    data: AnyPath
    reporter: Reporter
    _vals: dict[AnyPath, Photos] = field(default_factory=dict)

    def judge(self, told: Told, wanted: set[int]) -> dict[int, Pixels]:
        """Photos of some of a run's records, by their numbers. Raises DataError where these are other data."""
        if told.settings["folds"] > 1:
            return self._of_folds(told, wanted)
        val = self._val(told)
        self._refuse_others(told, val)
        return {i: val.images[i] for i in sorted(wanted)}

    def _val(self, told: Told) -> Photos:
        how: OnBadRecord = told.settings["on_bad_record"]
        files = find_split(self.data, "val", told.settings["image_size"])
        if files.folder not in self._vals:

            def reading(done: int, total: int) -> None:
                self.reporter.progress("reading val", done, total)

            classes = len(told.classes)
            self._vals[files.folder] = load_split(files, on_bad_record=how, classes=classes, progress=reading)
        return self._vals[files.folder]

    def _refuse_others(self, told: Told, val: Photos) -> None:
        """By the fingerprint that the run has kept; a run that learned from val too was judged by its last records."""
        known = told.prints.get("val", {}).get("sha256")
        batch = int(told.settings["batch_size"])
        same = known is None or fingerprint(val, digests(val, mesh_for(batch), batch))["sha256"] == known
        if told.predictions.ids != val.ids or (not same and not told.judges_taught):
            raise self._others(told, f"val of {self.data} has {len(val):,} records", told.scores.n)

    def _others(self, told: Told, found: str, wanted: int) -> DataError:
        other = "but others" if f"{wanted:,} records" in found else f"the run was judged by {wanted:,}"
        return DataError(
            f"{self.data} is not the data of {told.path}: {found}, {other}: give --data the folder it was trained on"
        )

    def _of_folds(self, told: Told, wanted: set[int]) -> dict[int, Pixels]:
        """A fold is judged by parts of train and val."""
        place = {name: i for i, name in enumerate(told.predictions.ids)}
        labels = told.predictions.labels.tolist()
        found, known = {}, 0
        for item in self._records(told, ("train", "val")):
            i = place.get(item.example.id, -1)
            known += i >= 0 and labels[i] == item.example.label
            if i in wanted:
                found[i] = _pixels(item)
        if known != len(labels):
            raise self._others(told, f"train and val of {self.data} hold {known:,} of its records", len(labels))
        return found

    def _records(self, told: Told, splits: Iterable[str]) -> Iterator[Found]:
        how: OnBadRecord = told.settings["on_bad_record"]
        for split in splits:
            files = find_split(self.data, split, told.settings["image_size"])
            options = {"on_bad_record": how, "labels": "need", "classes": len(told.classes)}
            for done, item in enumerate(read_split(files, **options), 1):
                self.reporter.progress(f"reading {split}", done, max(files.count or 0, done))
                if not isinstance(item, BadRecord):
                    yield item

    def taught(self, told: Told, labels: Iterable[int], most: int) -> list[Taught]:
        """Photos with these labels that the run has learned from: as many of each label as there is room for.

        The first ones of each are taken, at most `most` in all.
        """
        room = {label: 0 for label in labels}
        each = most // max(len(room), 1)
        judged, kept = set(told.predictions.ids), []
        for item in self._records(told, ("train", "val") if told.settings["folds"] else ("train",)):
            label = item.example.label
            if label in room and room[label] < each and item.example.id not in judged:
                room[label] += 1
                kept.append(item)
        return [Taught(item.example.id, int(item.example.label or 0), _pixels(item)) for item in kept]


def _pixels(item: Found) -> Pixels:
    image = item.example.image
    try:
        return decode(image) if isinstance(image, bytes) else image
    except ImageError as error:
        raise RecordError(item.bad(f"id {item.example.id!r}: {error}"), WAY_OUT) from error
