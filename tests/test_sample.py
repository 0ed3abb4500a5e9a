"""`corolla sample`: same seed, same bytes; the competition's layout; all or nothing; 104 kinds that differ."""

import errno
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from corolla import classes
from corolla.errors import RunError, WishError
from corolla.records.shards import find_split, read_split
from corolla.sample import contact_sheet, paint_photo, workers, write_sample
from corolla.sample.herbarium import SPECIES
from corolla.sample.painting import paint
from corolla.sample.plan import FLOORS, class_counts, plan
from corolla.sample.traits import Petals
from corolla.types import SPLITS

SIDE, IMAGES = 16, 520


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "out"
    write_sample(out, image_size=SIDE, images=IMAGES, workers=1)
    return out


def examples(sample: Path, split: str) -> list:
    return [found.example for found in read_split(find_split(sample, split))]


# ------------------------------------------------------------------------------------------------------------ bytes


def test_one_and_two_workers_write_the_same_bytes(tmp_path: Path) -> None:
    for count in (1, 2):
        write_sample(tmp_path / str(count), image_size=48, images=40, workers=count)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_another_seed_gives_other_photos_and_ids(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_sample(tmp_path / str(seed), image_size=SIDE, images=12, seed=seed, workers=1)
    one, other = digests(tmp_path / "0"), digests(tmp_path / "1")
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())


def test_a_photo_depends_on_its_place_alone() -> None:
    """So any worker can paint it."""
    wanted = plan(40, SIDE, 3)
    photos = list(workers.paint_all(wanted, 40, 1))
    assert photos[5::7] == list(workers._share(wanted, 5, 7))


# ----------------------------------------------------------------------------------------------------------- layout


def test_layout_and_names_are_the_competitions(sample: Path) -> None:
    files = [str(path.relative_to(sample)) for path in sorted(sample.rglob("*")) if path.is_file()]
    shards = [name for name in files if name != "sample_submission.csv"]
    pattern = re.compile(rf"tfrecords-jpeg-{SIDE}x{SIDE}/(train|val|test)/(\d\d)-{SIDE}x{SIDE}-(\d+)\.tfrec")
    found = [pattern.fullmatch(name) for name in shards]
    assert all(found)
    for split in SPLITS:
        counts = {match[2]: int(match[3]) for match in found if match and match[1] == split}
        assert list(counts) == [f"{i:02d}" for i in range(len(counts))]
        assert len(counts) >= 2
        assert sum(counts.values()) == len(plan(IMAGES, SIDE, 0).labels[split])
    assert not list(sample.parent.glob(".*")), "a draft was left beside the folder"


def test_train_and_val_hold_every_kind_and_test_tells_no_label(sample: Path) -> None:
    for split in ("train", "val"):
        assert {example.label for example in examples(sample, split)} == set(range(classes.COUNT))
    assert {example.label for example in examples(sample, "test")} == {None}


def test_ids_are_nine_hex_characters_and_unique_over_splits(sample: Path) -> None:
    ids = [example.id for split in SPLITS for example in examples(sample, split)]
    assert len(set(ids)) == len(ids) == IMAGES
    assert all(re.fullmatch("[0-9a-f]{9}", name) for name in ids)


def test_images_are_square_rgb_jpegs(sample: Path) -> None:
    for example in examples(sample, "val")[:20]:
        assert simplejpeg.decode_jpeg_header(example.image)[:2] == (SIDE, SIDE)


def test_sample_submission_lists_the_test_ids_with_label_0(sample: Path) -> None:
    lines = (sample / "sample_submission.csv").read_text().splitlines()
    assert lines == ["id,label", *(f"{example.id},0" for example in examples(sample, "test"))]


def test_summary_counts_and_test_labels(tmp_path: Path) -> None:
    summary = write_sample(tmp_path / "s", image_size=16, images=15, workers=1)
    assert (summary.train, summary.val, summary.test) == (10, 3, 2)
    assert summary.out == tmp_path / "s"
    assert summary.size_bytes == sum(path.stat().st_size for path in summary.out.rglob("*") if path.is_file())
    assert summary.test_labels.tolist() == plan(15, 16, 0).labels["test"].tolist()


def test_progress_counts_to_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_sample(tmp_path / "s", image_size=16, images=11, workers=1, progress=lambda *step: seen.append(step))
    assert seen == [(done, 11) for done in range(1, 12)]


# ------------------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize(("total", "floor"), [(2000, 6), (600, 3), (400, 1), (104, 6), (37, 1), (1, 1), (0, 3)])
def test_class_counts_add_up_and_respect_the_floor(total: int, floor: int) -> None:
    counts = class_counts(total, floor)
    assert counts.sum() == total
    assert counts.min() >= min(floor, total // classes.COUNT)


def test_class_counts_follow_the_competitions() -> None:
    counts = class_counts(2000, 6)
    assert np.corrcoef(counts, classes.TRAIN_IMAGES)[0, 1] > 0.999
    assert counts.max() >= 10 * counts.min()


def test_the_default_holds_every_kind_in_every_split() -> None:
    labels = plan(3000, 224, 0).labels
    assert [len(labels[split]) for split in SPLITS] == [2000, 600, 400]
    least = {split: np.bincount(labels[split], minlength=classes.COUNT).min() for split in SPLITS}
    assert all(least[split] >= FLOORS[split] for split in SPLITS)
    assert FLOORS == {"train": 6, "val": 3, "test": 1}


# --------------------------------------------------------------------------------------------------------- refusals


def test_a_folder_that_holds_something_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(WishError, match=r"is not empty: give a new folder, or remove this one first"):
        write_sample(tmp_path, images=10)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    with pytest.raises(WishError, match="is a file"):
        write_sample(tmp_path / "file", images=10)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_sample(tmp_path / "empty", image_size=16, images=10, workers=1)
    assert (tmp_path / "empty" / "sample_submission.csv").is_file()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"image_size": 8}, "image_size must be 16 to 1024 px, not 8"),
        ({"images": 3}, "images must be at least 10"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, wish: dict, message: str) -> None:
    with pytest.raises(WishError, match=message):
        write_sample(tmp_path / "s", **wish)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_gives_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, *_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left on device") as caught:
        write_sample(tmp_path / "s", image_size=16, images=10, workers=1)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing_and_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = workers._start
    monkeypatch.setattr(workers, "_start", lambda *given: started.append(start(*given)) or started[-1])

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write_sample(tmp_path / "s", image_size=16, images=3000, workers=2, progress=stop)
    assert caught.tb is not None  # even while the traceback is held:
    assert not list(tmp_path.iterdir())
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_place_that_cannot_hold_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/s: cannot be made \(.+\): choose another folder"):
        write_sample(tmp_path / "file" / "s", images=10)


def test_a_dead_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RunError, match=r"a process that paints the sample died \(.+\): try again with workers=1"):
        next(workers.paint_all(plan(10, 16, 0), 10, 2))


# --------------------------------------------------------------------------------------------------------- pictures


def test_every_kind_is_described_once_and_paints() -> None:
    assert len(SPECIES) == classes.COUNT
    sheet = contact_sheet(side=24, columns=13)
    assert sheet.shape == (8 * 24, 13 * 24, 3)
    photos = sheet.reshape(8, 24, 13, 24, 3).swapaxes(1, 2).reshape(104, 24, 24, 3)
    assert (photos.reshape(104, -1).std(axis=1) > 8).all(), "a photo is nearly of one colour"


def test_kinds_differ_in_more_than_noise() -> None:
    """The mean photo of a kind is further from other kinds' mean photos than from its own kind's next ten."""
    kinds = (48, 53, 67, 73, 79, 93)

    def mean(label: int, seed: int) -> np.ndarray:
        photos = [paint_photo(label, 16, np.random.default_rng([seed, label, i])) for i in range(10)]
        return np.mean(photos, axis=0).ravel()

    first, second = (np.stack([mean(label, seed) for label in kinds]) for seed in (0, 1))
    apart = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (apart.argmin(axis=1) == np.arange(len(kinds))).mean() >= 0.8


@pytest.mark.parametrize("side", [16, 33, 95, 513])
def test_any_side_is_painted_whole(side: int) -> None:
    photo = paint_photo(48, side, np.random.default_rng(0))
    assert photo.shape == (side, side, 3)
    assert photo.dtype == np.uint8


def test_the_same_photo_at_two_sizes_is_the_same_picture() -> None:
    small, large = (paint_photo(53, side, np.random.default_rng(4)).astype(float) for side in (48, 96))
    shrunk = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.8


def test_points_leave_no_holes() -> None:
    """A flat petal, painted large, covers its middle completely: what the spacing of the points promises."""
    from corolla.sample import scenes
    from corolla.sample.clouds import placed, turned
    from corolla.sample.colours import Palette
    from corolla.sample.organs import organ_parts
    from corolla.sample.painting import Light

    rng = np.random.default_rng(0)
    side, radius = 96, 0.9
    trait = Petals(at=(90,), width=0.5, shape="round", rise=0, curl=0, cup=0, radius=0, wild=0)
    light = Light(np.array([0, 0, 1], np.float32), np.ones(3, np.float32), np.ones(3, np.float32))
    for tilt in (0, 20, 45):
        frame = turned(33, tilt) * radius
        spacing = scenes._spacing(side, radius)
        parts = [
            placed(p, frame, np.array([[0, -0.45, 0]])) for p in organ_parts(trait, Palette(("#808080",)), spacing, rng)
        ]
        cover = paint(parts, side, light).cover
        rows, columns = np.nonzero(cover > 0)
        middle = cover[int(rows.mean()) - 8 : int(rows.mean()) + 8, int(columns.mean()) - 8 : int(columns.mean()) + 8]
        assert middle.min() == 1
