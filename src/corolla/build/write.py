"""`build`: from sources to a data set in the competition's layout.

Takes: source folders, a folder to write, the wish. Gives: OUT, all or nothing, with
    tfrecords-jpeg-SxS/{train,val,test}/NN-SxS-COUNT.tfrec     test without labels
    sample_submission.csv      `id,label`, the ids of test
    manifest.csv               a line a record, in the order of the records: its origin, and its label, also of test
    quarantine.csv             photos that are damaged, and why
    unmapped.csv               what the sources call the photos that have no label here, how many, and why
    build.json                 the wish, and the size of each shard: by this the same build is known again

Everything is made in a hidden folder beside OUT, which is renamed when it is whole. A build that was stopped goes on in
it; one that is there already is only looked over, and shards that are missing are written again. Where records stand
is a function of the photos and the seed, so the same wish gives the same bytes, whoever did the work in what order.
"""

import csv
import hashlib
import io
import json
import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from corolla.build import beam, local
from corolla.build.alike import copies, groups
from corolla.build.item import Slot
from corolla.build.mapping import Left, label_of
from corolla.build.record import Look, displayed, ids
from corolla.build.sources import recognised
from corolla.build.split import FREE, assigned, drawn, settled, torn
from corolla.build.work import PHOTOS_A_PART, Chosen, Driver, Made, Part, ShardTask, read_part, render_part, write_shard
from corolla.checkpoint import write_file
from corolla.classes import NAMES
from corolla.config import BuildWish
from corolla.errors import DataError, RunError, WishError
from corolla.records.framing import DRAFTS
from corolla.records.shards import even_ranges
from corolla.reporter import SILENT, Reporter
from corolla.types import SPLITS

FORMAT = 3
"""Counts up where the same wish gives other bytes than before."""

SHARDS, SHARD_PHOTOS = 16, 1024
"""So many shards a split, as the competition has, or more where they would hold more photos than that."""

LEAST_PX, MOST_PX = 16, 2048
_NAMED = 5


@dataclass(frozen=True)
class Built:
    """What was written.

    photos: in each split; classes: photos of each of the 104; groups: of several photos that look alike; conflicts:
    groups that hold several labels; torn: groups that stand in several splits, as published; broken: photos in
    quarantine; unmapped: photos without a label; fresh: whether anything was written, or all was there already.
    """

    out: Path
    photos: dict[str, int]
    classes: list[int]
    groups: int
    conflicts: int
    torn: int
    broken: int
    unmapped: int
    fresh: bool = True

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "out": str(self.out), "classes": dict(zip(NAMES, self.classes, strict=True))}


@dataclass
class Listing:
    """The photos of all sources: those that have a label, and how many have none, by (source, its word, reason)."""

    chosen: list[Chosen] = field(default_factory=list)
    left: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Row:
    """A record to write: its photo, what became of it, and its place."""

    id: str
    chosen: Chosen
    made: Made
    split: str
    group: str


def build(
    sources: Sequence[Path | str], out: Path | str, wish: BuildWish | None = None, reporter: Reporter = SILENT
) -> Built:
    """Build a data set from sources into the folder `out`; the same call goes on with one that was stopped.

    Raises WishError (settings out of range, another data set in `out`), DataError (unknown layouts, no photo with a
    label, more damaged photos than `max_bad`, links out of a source), RunError (no room, no permission).
    """
    out, wish = Path(out), wish or BuildWish()
    look, most_bad, driver = _look(wish), _share(wish.max_bad), _driver(wish)
    _refuse_senseless(sources, wish)
    listing = _listed(sources, reporter)
    digest = _digest(listing.chosen, wish)
    if (done := _done(out, digest)) and not done["missing"]:
        return Built(out, **done["summary"], fresh=False)
    with _draft(out, digest) as draft:
        parts = _parts(listing.chosen, look, draft / "parts")
        made = _rendered(parts, driver, reporter)
        _write_lists(draft, listing, made)
        _refuse_bad(made, most_bad, draft / "quarantine.csv")
        rows, summary = _placed(listing, made, wish, reporter)
        target = out if done else draft / "data"
        _write_shards(target, rows, look, driver, reporter)
        _finish(target, draft, rows, look, digest, summary, wish)
        if not done:
            target.replace(out)  # over an empty folder, too
    _tell(summary, listing, wish, reporter)
    return Built(out, **summary)


# -------------------------------------------------------------------------------------------------------- the wish


def _look(wish: BuildWish) -> Look:
    sizes = tuple(sorted(set(wish.sizes)))
    if not sizes or not LEAST_PX <= sizes[0] <= sizes[-1] <= MOST_PX:
        raise WishError(f"sizes must be {LEAST_PX} to {MOST_PX} px, not {', '.join(map(str, wish.sizes)) or 'none'}")
    if not 1 <= wish.quality <= 100:
        raise WishError(f"quality must be 1 to 100, not {wish.quality}")
    return Look(sizes, wish.fit, wish.resample, wish.quality)


def _share(written: str) -> float:
    """`1%` and `0.01` are the same."""
    try:
        share = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WishError(f"max_bad is a share such as 1% or 0.01, not {written!r}")
    return share


def _driver(wish: BuildWish) -> Driver:
    if wish.threads is not None and wish.threads < 1:
        raise WishError(f"threads must be 1 or more, not {wish.threads}")
    if wish.runner == "beam":
        return beam.workers(shlex.split(wish.beam_options))
    if wish.beam_options:
        raise WishError("beam_options are for --runner beam")
    return local.threads(wish.threads)


def _refuse_senseless(sources: Sequence[Path | str], wish: BuildWish) -> None:
    if not sources:
        raise WishError("build needs at least one source: a folder or a CSV file")
    if min(wish.split) < 0 or wish.split[0] <= 0:
        raise WishError(f"split is three shares, of which train's is above 0, not {wish.split}")
    if wish.together not in ("twins", "copies"):
        raise WishError(f"together is twins or copies, not {wish.together!r}")
    if wish.seed < 0:
        raise WishError(f"seed must be 0 or more, not {wish.seed}")


# ----------------------------------------------------------------------------------------------------- the sources


def _listed(sources: Sequence[Path | str], reporter: Reporter) -> Listing:
    listing = Listing()
    for located in recognised([Path(one) for one in sources]):
        before = len(listing.chosen)
        for item in located.items():
            found = label_of(item)
            if isinstance(found, Left):
                listing.left[item.source, displayed(found.kind), found.reason] += 1
            else:
                listing.chosen.append(Chosen(item, *found))
        reporter.note(f"{located.path}: {located.source.name}, {len(listing.chosen) - before} photos with a label")
    if not listing.chosen:
        kinds = ", ".join(repr(kind) for (_, kind, _), _ in listing.left.most_common(_NAMED))
        found = f"{listing.left.total()} photos, called {kinds}" if listing.left else "no photos"
        raise DataError(f"nothing in these sources is one of the {len(NAMES)} classes: found {found}")
    return listing


def _digest(chosen: list[Chosen], wish: BuildWish) -> str:
    """Of all that decides about the bytes; not of threads, runners or where the sources lie."""
    digest = hashlib.sha256(json.dumps([FORMAT, _deciding(wish)]).encode())
    for one in chosen:
        item, place = one.item, one.item.place
        size = place.end - place.offset if isinstance(place, Slot) else place.stat().st_size
        said = (item.rotation, item.licence, item.split, item.id)
        line = "\0".join(map(str, (item.source, item.name, one.label, one.box, *said, size))) + "\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _deciding(wish: BuildWish) -> dict[str, Any]:
    names = ("sizes", "fit", "resample", "quality", "split", "published_splits", "together", "seed")
    return {name: getattr(wish, name) for name in names}


# ------------------------------------------------------------------------------------------------------- the folder


def _done(out: Path, digest: str) -> dict[str, Any] | None:
    """What build.json in OUT says, with the shards that are missing; None where OUT is still to be made."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        told = json.loads((out / "build.json").read_bytes())
        same = told["digest"] == digest
    except (OSError, ValueError, KeyError, TypeError):
        raise WishError(f"{out} holds something else already: give a new folder") from None
    if not same:
        raise WishError(f"{out} holds a data set of other settings or sources: give a new folder, or remove it first")
    missing = [name for name, size in told["files"].items() if not _is_whole(out / name, size)]
    for name in missing:
        (out / name).unlink(missing_ok=True)
    return {"missing": missing, "summary": told["summary"]}


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


@contextmanager
def _draft(out: Path, digest: str) -> Iterator[Path]:
    """The hidden folder that a build is made in. It stays where the build fails, so that the next one goes on."""
    draft = out.absolute().parent / f".{out.name}.building"
    try:
        draft.mkdir(parents=True, exist_ok=True)
        with FileLock(draft / "lock", timeout=0):
            _refuse_another(draft / "digest", digest)
            yield draft
            shutil.rmtree(draft, ignore_errors=True)
    except Timeout as error:
        raise RunError(f"{out}: another process is building it: wait for it") from error
    except OSError as error:
        raise _cannot_write(out, error) from error


def _refuse_another(path: Path, digest: str) -> None:
    if path.exists() and path.read_text() != digest:
        raise WishError(
            f"{path.parent}: an unfinished build of other settings or sources: finish it, or remove it first"
        )
    write_file(path, digest.encode())


def _cannot_write(out: Path, error: OSError) -> RunError:
    return RunError(f"{out}: cannot be written ({error.strerror}): free some room or choose another folder")


# --------------------------------------------------------------------------------------------------------- the work


def _parts(chosen: list[Chosen], look: Look, folder: Path) -> list[Part]:
    folder.mkdir(exist_ok=True)
    batches = (chosen[start : start + PHOTOS_A_PART] for start in range(0, len(chosen), PHOTOS_A_PART))
    return [Part(folder / f"{number:06d}", tuple(photos), look) for number, photos in enumerate(batches)]


def _rendered(parts: list[Part], driver: Driver, reporter: Reporter) -> list[Made]:
    """What every photo became; parts that an earlier build has made are left as they are."""
    total = sum(map(len, parts))
    missing = [part for part in parts if read_part(part) is None]
    done = total - sum(map(len, missing))
    if missing and done:
        reporter.note(f"{done} of {total} photos are there already")
    for count in driver(render_part, missing):
        done += count
        reporter.progress("rendering", done, total)
    made = [read_part(part) for part in parts]
    if None in made:
        raise RunError(f"{parts[0].path.parent}: parts are missing: do all workers see this folder?")
    return [one for part in made for one in part or ()]


def _refuse_bad(made: list[Made], most: float, listed: Path) -> None:
    bad = [one.fault for one in made if one.fault]
    if len(bad) == len(made) or len(bad) > most * len(made):
        raise DataError(
            f"{len(bad)} of {len(made)} photos are damaged, more than max_bad {most:.3g} allows; the first: {bad[0]} "
            f"(all: {listed})"
        )


def _placed(
    listing: Listing, made: list[Made], wish: BuildWish, reporter: Reporter
) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """The records of each split, in order, and what there is to say of them."""
    items = [one.item for one in listing.chosen]
    names = ids([(item.source, item.name, item.id) for item in items])
    good = [place for place, one in enumerate(made) if not one.fault]
    names, kept = [names[i] for i in good], [made[i] for i in good]
    chosen = [listing.chosen[i] for i in good]
    labels = np.array([one.label for one in chosen])
    group = groups(kept, sorted(set(wish.sizes)), reporter) if wish.together == "twins" else copies(kept)
    splits = _splits(chosen, labels, group, names, wish)
    heads = _heads(group, names)
    rows = [
        Row(names[i], chosen[i], kept[i], SPLITS[splits[i]], heads[int(group[i])])
        for i in sorted(range(len(names)), key=lambda i: drawn(names[i], wish.seed))
    ]
    found = {split: [row for row in rows if row.split == split] for split in SPLITS}
    return found, _summary(found, labels, group, splits, len(made) - len(kept), listing.left.total())


def _splits(
    chosen: list[Chosen], labels: NDArray[np.int64], group: NDArray[np.int64], names: list[str], wish: BuildWish
) -> NDArray[np.int64]:
    """The split of each photo, int64[n]: its place in SPLITS."""
    shares = (np.asarray(wish.split) / sum(wish.split)).tolist()
    said = [one.item.split if wish.published_splits else None for one in chosen]
    found = settled(group, np.array([FREE if split is None else SPLITS.index(split) for split in said]))
    free = np.flatnonzero(found == FREE)
    found[free] = assigned(labels[free], group[free], [names[i] for i in free.tolist()], shares, wish.seed)
    return found


def _heads(group: NDArray[np.int64], names: list[str]) -> dict[int, str]:
    """What each group is called: the least of its ids."""
    found: dict[int, str] = {}
    for number, name in zip(group.tolist(), names, strict=True):
        found[number] = min(name, found.get(number, name))
    return found


def _summary(
    rows: dict[str, list[Row]],
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    splits: NDArray[np.int64],
    broken: int,
    unmapped: int,
) -> dict[str, Any]:
    kinds: dict[int, list[int]] = {}
    for number, label in zip(group.tolist(), labels.tolist(), strict=True):
        kinds.setdefault(number, []).append(label)
    alike = [one for one in kinds.values() if len(one) > 1]
    return {
        "photos": {split: len(rows[split]) for split in SPLITS},
        "classes": np.bincount(labels, minlength=len(NAMES)).tolist(),
        "groups": len(alike),
        "conflicts": sum(len({*one}) > 1 for one in alike),
        "torn": torn(group, splits),
        "broken": broken,
        "unmapped": unmapped,
    }


# ------------------------------------------------------------------------------------------------------- the output


def _write_shards(target: Path, rows: dict[str, list[Row]], look: Look, driver: Driver, reporter: Reporter) -> None:
    for left in target.rglob(DRAFTS):  # by a build that was killed
        left.unlink()
    tasks = [task for task in _shard_tasks(target, rows, look) if not task.path.exists()]
    done, total = 0, sum(map(len, tasks))
    for count in driver(write_shard, tasks):
        done += count
        reporter.progress("writing", done, total)


def _shard_tasks(target: Path, rows: dict[str, list[Row]], look: Look) -> Iterator[ShardTask]:
    for place, size in enumerate(look.sizes):
        for split in SPLITS:
            folder = target / f"tfrecords-jpeg-{size}x{size}" / split
            count = len(rows[split])
            for number, part in enumerate(even_ranges(count, max(SHARDS, -(-count // SHARD_PHOTOS)))):
                records = tuple(
                    (row.id, None if split == "test" else row.chosen.label, row.made.slots[place])
                    for row in rows[split][part.start : part.stop]
                )
                yield ShardTask(folder / f"{number:02d}-{size}x{size}-{len(part)}.tfrec", records)


def _finish(
    target: Path,
    draft: Path,
    rows: dict[str, list[Row]],
    look: Look,
    digest: str,
    summary: dict[str, Any],
    wish: BuildWish,
) -> None:
    """The lists; build.json is the last."""
    _write_csv(target / "sample_submission.csv", ("id", "label"), ((row.id, 0) for row in rows["test"]))
    columns = ("id", "split", "label", "source", "original_name", "sha256", "licence", "group")
    _write_csv(target / "manifest.csv", columns, (_provenance(row) for split in SPLITS for row in rows[split]))
    for name in ("quarantine.csv", "unmapped.csv"):
        write_file(target / name, (draft / name).read_bytes())
    shards = sorted(task.path for task in _shard_tasks(target, rows, look))
    files = {path.relative_to(target).as_posix(): path.stat().st_size for path in shards}
    told = {"digest": digest, "wish": _deciding(wish), "summary": summary, "files": files}
    write_file(target / "build.json", (json.dumps(told, indent=1) + "\n").encode())


def _provenance(row: Row) -> tuple[Any, ...]:
    item = row.chosen.item
    where = (item.source, displayed(item.name), row.made.sha256, displayed(item.licence))
    return (row.id, row.split, row.chosen.label, *where, row.group)


def _write_lists(draft: Path, listing: Listing, made: list[Made]) -> None:
    """What is left out. Written before anything can be refused because of it."""
    bad = [(one.item, found.fault) for one, found in zip(listing.chosen, made, strict=True) if found.fault]
    columns = ("source", "original_name", "reason")
    _write_csv(draft / "quarantine.csv", columns, ((i.source, displayed(i.name), why) for i, why in bad))
    left = sorted(listing.left.items())
    columns = ("source", "kind", "photos", "reason")
    _write_csv(draft / "unmapped.csv", columns, ((s, kind, n, why) for (s, kind, why), n in left))


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_file(path, text.getvalue().encode())


def _tell(summary: dict[str, Any], listing: Listing, wish: BuildWish, reporter: Reporter) -> None:
    if summary["broken"]:
        reporter.warn(f"{summary['broken']} photos are damaged and left out: see quarantine.csv")
    if listing.left:
        common = listing.left.most_common(_NAMED)
        kinds = ", ".join(f"{kind or 'of no name'} ({count})" for (_, kind, _), count in common)
        more = f" and {len(listing.left) - _NAMED} more kinds" if len(listing.left) > _NAMED else ""
        reporter.warn(f"{listing.left.total()} photos have no label here: {kinds}{more}; see unmapped.csv")
    if summary["conflicts"]:
        reporter.warn(f"{summary['conflicts']} groups of photos that look alike have several labels: see manifest.csv")
    if summary["torn"]:
        reporter.warn(
            f"{summary['torn']} groups of photos that look alike stand in several splits, as published: "
            f"`corolla audit` shows them, and its --write-clean leaves them out of train"
        )
    for (split, count), share in zip(summary["photos"].items(), wish.split, strict=True):
        if share and not count and not wish.published_splits:
            reporter.warn(f"{split} is empty: there are too few photos for its share")
