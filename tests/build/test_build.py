"""`corolla build`: the competition's layout, all or nothing, the same bytes for everyone, nothing lost in silence."""

import csv
import hashlib
import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import layouts
import planted
from corolla import cli
from corolla.audit import audit
from corolla.build import build, work, write
from corolla.build.local import threads
from corolla.check import check
from corolla.classes import NAMES
from corolla.config import BuildWish
from corolla.errors import DataError, RunError, WishError
from corolla.images import decode
from corolla.records.example import encode_example
from corolla.records.framing import DRAFTS, write_records
from corolla.records.shards import find_split, read_split
from corolla.types import SPLITS
from flow import Recorder

WISH = BuildWish(sizes=(32, 16), quality=90, threads=2)
PHOTOS = 150


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def examples(out: Path, split: str, side: int = 32) -> list:
    return [found.example for found in read_split(find_split(out, split, side))]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.own(tmp_path_factory.mktemp("source") / "mine", PHOTOS)


@pytest.fixture(scope="module")
def built(mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody may change it."""
    out = tmp_path_factory.mktemp("built") / "out"
    build([mine], out, WISH)
    return out


# ------------------------------------------------------------------------------------------------------------ layout


def test_the_reader_and_check_like_it(built):
    assert check(built, 32).ok and check(built, 16).ok
    counts = {split: len(examples(built, split)) for split in SPLITS}
    assert sum(counts.values()) == PHOTOS and abs(counts["train"] - 0.7 * PHOTOS) <= 3
    assert not list(built.parent.glob(".*")), "a draft was left"


def test_shards_have_equal_sizes_and_counts_in_their_names(built):
    for side in (16, 32):
        for split in SPLITS:
            shards = find_split(built, split, side).shards
            counts = [shard.count or 0 for shard in shards]
            assert len(shards) == 16 and max(counts) - min(counts) <= 1


def test_both_sizes_hold_the_same_records_in_the_same_order(built):
    for split in SPLITS:
        large, small = examples(built, split, 32), examples(built, split, 16)
        assert [(one.id, one.label) for one in large] == [(one.id, one.label) for one in small]
        assert {decode(one.image).shape for one in large} == {(32, 32, 3)}
        assert {decode(one.image).shape for one in small} == {(16, 16, 3)}


def test_the_manifest_tells_where_each_record_comes_from(built, mine):
    rows = lines(built / "manifest.csv")
    assert [row["id"] for row in rows] == [one.id for split in SPLITS for one in examples(built, split)]
    labels = {one.id: one.label for split in SPLITS for one in examples(built, split)}
    for row in rows:
        content = (mine / row["original_name"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert labels[row["id"]] == (None if row["split"] == "test" else int(row["label"]))
        kind = row["original_name"].split("/")[0]
        assert NAMES[int(row["label"])] == {"rose": "rose", "common_tulip": "common tulip"}.get(kind, "colt's foot")


def test_the_sample_submission_has_the_ids_of_test(built):
    rows = lines(built / "sample_submission.csv")
    assert [row["id"] for row in rows] == [one.id for one in examples(built, "test")]
    assert {row["label"] for row in rows} == {"0"}


def test_pixels_are_those_of_the_photo(built, mine):
    row = next(row for row in lines(built / "manifest.csv") if row["split"] == "train")
    (image,) = (one.image for one in examples(built, "train") if one.id == row["id"])
    whole = decode((mine / row["original_name"]).read_bytes()).astype(int)
    middle = whole[:, 10:50]  # 60 x 40 px
    coarse = middle.reshape(4, 10, 4, 10, 3).mean((1, 3))
    found = decode(image).astype(int).reshape(4, 8, 4, 8, 3).mean((1, 3))
    assert np.abs(coarse - found).max() < 12


def test_several_sources_with_licences_and_unmapped_names(tmp_path):
    paths = [getattr(layouts, name)(tmp_path / name) for name in ("oxford_102", "tf_flowers", "inaturalist")]
    told = Recorder()
    made = build(paths, tmp_path / "out", WISH, told)
    assert made.unmapped == 3 and sum(made.photos.values()) == 12
    rows = lines(tmp_path / "out" / "unmapped.csv")
    assert [(row["source"], row["kind"], row["photos"]) for row in rows] == [
        ("inaturalist", "Corvus corax", "1"),
        ("inaturalist", "Rosa rugosa", "1"),
        ("oxford_102", "5", "1"),
    ]
    assert any("3 photos have no label here" in one and "Corvus corax (1)" in one for one in told.warnings)
    licences = {row["source"]: row["licence"] for row in lines(tmp_path / "out" / "manifest.csv")}
    assert licences["inaturalist"] == "CC BY-NC 4.0 by A. Nobody"


# ------------------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("count", [1, 3])
def test_every_number_of_threads_writes_the_same_bytes(count, built, mine, tmp_path):
    build([mine], tmp_path / "out", replace(WISH, threads=count))
    assert digests(tmp_path / "out") == digests(built)


def test_it_does_not_matter_where_the_source_lies(built, mine, tmp_path):
    shutil.copytree(mine, tmp_path / "elsewhere" / "mine")
    build([tmp_path / "elsewhere" / "mine"], tmp_path / "out", WISH)
    assert digests(tmp_path / "out") == digests(built)


def test_another_seed_gives_other_splits(built, mine, tmp_path):
    build([mine], tmp_path / "out", replace(WISH, seed=1))
    one, other = ({row["id"]: row["split"] for row in lines(out / "manifest.csv")} for out in (built, tmp_path / "out"))
    assert one.keys() == other.keys() and one != other


def test_beam_writes_the_same_bytes(built, mine, tmp_path):
    if importlib.util.find_spec("apache_beam") is None:
        pytest.skip("Apache Beam is not installed (pip install corolla[beam])")
    build([mine], tmp_path / "out", replace(WISH, runner="beam", threads=None))
    assert digests(tmp_path / "out") == digests(built)


def test_look_alikes_stay_together(tmp_path):
    """Ten photos, each also recompressed, mirrored, darker and as the same bytes; in other classes, too."""
    from PIL import Image, ImageOps

    for number in range(10):
        scene = layouts.scene(number, 120, 120)
        dark = Image.fromarray((np.asarray(scene) * 0.8).astype(np.uint8))
        for name, image in (("own", scene), ("mirror", ImageOps.mirror(scene)), ("dark", dark)):
            image.save(layouts.put(tmp_path / "mine" / "rose" / f"{number}-{name}.jpg", b""), "JPEG", quality=90)
        scene.save(tmp_path / "mine" / "rose" / f"{number}-coarse.jpg", quality=50)
        shutil.copy(
            tmp_path / "mine" / "rose" / f"{number}-own.jpg",
            layouts.put(tmp_path / "mine" / "73" / f"{number}.jpg", b""),
        )
    told = Recorder()
    made = build([tmp_path / "mine"], tmp_path / "out", WISH, told)
    rows = lines(tmp_path / "out" / "manifest.csv")
    for number in range(10):
        own = [row for row in rows if row["original_name"].split("/")[1].split("-")[0].split(".")[0] == str(number)]
        assert len(own) == 5 and len({row["split"] for row in own}) == 1 == len({row["group"] for row in own})
    assert made.groups == 10 and len({row["split"] for row in rows}) == 3
    assert made.conflicts == 0


def test_only_copies_may_stay_together(tmp_path):
    scene = layouts.scene(1, 120, 120)
    for name, quality in (("a", 90), ("b", 50)):
        scene.save(layouts.put(tmp_path / "mine" / "rose" / f"{name}.jpg", b""), "JPEG", quality=quality)
    shutil.copy(tmp_path / "mine" / "rose" / "a.jpg", tmp_path / "mine" / "rose" / "c.jpg")
    for together, most in (("twins", 3), ("copies", 2)):
        build([tmp_path / "mine"], tmp_path / together, replace(WISH, together=together))
        rows = lines(tmp_path / together / "manifest.csv")
        assert max(Counter(row["group"] for row in rows).values()) == most


def test_published_splits_hold(tmp_path):
    """Free photos are dealt out, look-alikes of published ones follow them, torn groups are told."""
    mine = layouts.own(tmp_path / "mine", 60)
    names = [path.relative_to(mine).as_posix() for path in sorted(mine.rglob("*.jpg"))]
    shutil.copy(mine / names[1], mine / "follows.jpg")
    shutil.copy(mine / names[2], mine / "torn.jpg")
    said = {names[0]: "test", names[1]: "val", names[2]: "test", "torn.jpg": "train"}
    columns = ("path", "label", "split")
    rows = [(name, 73, said.get(name, "")) for name in [*names, "follows.jpg", "torn.jpg"]]
    layouts.put_csv(mine / "list.csv", columns, *rows)
    told = Recorder()
    made = build([mine / "list.csv"], tmp_path / "out", replace(WISH, published_splits=True, split=(1, 0, 0)), told)
    found = {row["original_name"]: row["split"] for row in lines(tmp_path / "out" / "manifest.csv")}
    assert {name: found[name] for name in said} == said and found["follows.jpg"] == "val" and made.torn == 1
    assert made.photos == {"train": 58, "val": 2, "test": 2}
    assert any(
        "1 groups of photos that look alike stand in several splits, as published" in one for one in told.warnings
    )
    assert build([mine / "list.csv"], tmp_path / "dealt", replace(WISH, split=(1, 0, 0))).torn == 0


def test_what_was_built_can_be_a_source_and_comes_through_unchanged(built, mine, tmp_path):
    """With its ids, its splits and its bytes; what has no label is told. Other photos join it."""
    told = Recorder()
    more = layouts.own(tmp_path / "more", 9, ("rose",))
    for number, path in enumerate(sorted(more.rglob("*.jpg"))):
        path.write_bytes(layouts.photo(900 + number))
    wish = replace(WISH, sizes=(32,), published_splits=True, split=(1, 0, 0))
    made = build([built, more], tmp_path / "out", wish, told)
    for split in ("train", "val"):
        old, new = ({one.id: one for one in examples(out, split)} for out in (built, tmp_path / "out"))
        assert old.items() <= new.items() and len(new) == len(old) + (9 if split == "train" else 0)
    assert made.unmapped == len(examples(built, "test")) and made.photos["test"] == 0
    assert lines(tmp_path / "out" / "unmapped.csv")[0]["reason"] == "without a label"


def test_the_audit_finds_no_twins_in_two_splits(tmp_path):
    """Copies changed in every way that it looks for; half of the photos have one."""
    for number in range(24):
        scene = planted.scene(number, 128)
        layouts.put(tmp_path / "mine" / str(number % 3) / f"{number}.jpg", planted.encoded(scene))
        for how in [*planted.COPIES][number % 8 : number % 8 + 2] if number % 2 else ():
            path = tmp_path / "mine" / str(number % 3) / f"{number} {how}.jpg"
            layouts.put(path, planted.COPIES[how](scene))
    build([tmp_path / "mine"], tmp_path / "out", BuildWish(sizes=(96, 64), split=(0.4, 0.3, 0.3)))
    for size in (64, 96):
        found = audit([tmp_path / "out"], image_size=size)
        assert len(found.twins) >= 20 and not found.across()


@pytest.mark.real_data
def test_the_audit_finds_no_twins_in_two_splits_of_real_photos(real_data, tmp_path):
    """Those that are hard to tell apart: pairs about the limits of likeness."""
    listed = Path(__file__).parents[1] / "likeness" / "judged.csv"
    wanted = {row[name] for row in lines(listed) for name in ("first", "second")}
    records = [item.example for split in SPLITS for item in read_split(find_split(real_data, split))]
    chosen = [replace(example, label=example.label or 0) for example in records if example.id in wanted]
    write_records(tmp_path / "mine" / "train" / "00-224x224.tfrec", map(encode_example, chosen))
    build([tmp_path / "mine"], tmp_path / "out", BuildWish(sizes=(192,), split=(0.4, 0.3, 0.3)))
    found = audit([tmp_path / "out"])
    assert len(found.gathered) == len(wanted) and len(found.twins) >= 36 and not found.across()


def test_labels_that_contradict_are_told(tmp_path):
    layouts.own(tmp_path / "mine", 30)
    shutil.copy(tmp_path / "mine" / "rose" / "000.jpg", tmp_path / "mine" / "common_tulip" / "copy.jpg")
    told = Recorder()
    assert build([tmp_path / "mine"], tmp_path / "out", WISH, told).conflicts == 1
    assert any("1 groups of photos that look alike have several labels" in one for one in told.warnings)


# ------------------------------------------------------------------------------------------------ again, and killed


def test_the_same_command_again_changes_nothing(mine, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = build([mine], out, WISH)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(work, "rendered", None)
    again = build([mine], out, WISH)
    assert first.fresh and not again.fresh and replace(again, fresh=True) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_missing_and_cut_shards_are_written_again_and_no_others(built, mine, tmp_path):
    out = shutil.copytree(built, tmp_path / "out")
    shards = sorted(out.rglob("*.tfrec"))
    shards[3].unlink()
    shards[40].write_bytes(shards[40].read_bytes()[:-5])
    before = {path: path.stat().st_mtime_ns for path in shards if path.exists() and path != shards[40]}
    assert build([mine], out, WISH).fresh
    assert digests(out) == digests(built)
    assert {path: path.stat().st_mtime_ns for path in before} == before


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from corolla.build import build, work, write
from corolla.config import BuildWish
step, seen = {step!r}, 0
def dying(real):
    def call(*args):
        global seen
        seen += 1
        if seen == {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call
for module in (work, write):
    if hasattr(module, step):
        setattr(module, step, dying(getattr(module, step)))
build([{source!r}], {out!r}, BuildWish(sizes=(32, 16), quality=90, threads=2))
"""


@pytest.mark.parametrize(
    ("step", "after"),
    [("render_part", 2), ("rendered", 100), ("write_shard", 1), ("write_shard", 40), ("_write_csv", 4), ("_finish", 1)],
)
def test_a_killed_build_goes_on(step, after, built, mine, tmp_path, monkeypatch):
    out = tmp_path / "out"
    program = KILLED.format(path=sys.path, step=step, after=after, source=str(mine), out=str(out))
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert not out.exists()
    told, count = Recorder(), len(list((tmp_path / ".out.building" / "parts").glob("*.json")))
    build([mine], out, WISH, told)
    assert digests(out) == digests(built)
    assert not list(tmp_path.glob(".*"))
    if count:
        assert any("photos are there already" in one for one in told.notes) or "rendering" not in told.stages


def test_what_a_killed_build_had_not_finished_goes(built, mine, tmp_path, monkeypatch):
    """In the draft, and in a finished folder whose shards were being made again."""
    out, left = tmp_path / "out", DRAFTS.replace("*", "0a1b")
    with monkeypatch.context() as patch:
        patch.setattr(write, "_finish", lambda *_: (_ for _ in ()).throw(RunError("no room")))
        with pytest.raises(RunError, match="no room"):
            build([mine], out, WISH)
    shard = next((tmp_path / ".out.building" / "data").rglob("*.tfrec"))
    shard.rename(shard.with_name(left))
    build([mine], out, WISH)
    assert digests(out) == digests(built)
    shard = next(out.rglob("*.tfrec"))
    shard.rename(shard.with_name(left))
    build([mine], out, WISH)
    assert digests(out) == digests(built)


def test_a_damaged_part_is_made_again(built, mine, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_shards", lambda *_: (_ for _ in ()).throw(RunError("no room")))
        with pytest.raises(RunError, match="no room"):
            build([mine], out, WISH)
    part = next((tmp_path / ".out.building" / "parts").glob("*.tfrec"))
    part.write_bytes(part.read_bytes()[:-9])
    build([mine], out, WISH)
    assert digests(out) == digests(built)


def test_an_unfinished_build_of_another_wish_is_not_mixed_up(mine, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_shards", lambda *_: (_ for _ in ()).throw(RunError("no room")))
        with pytest.raises(RunError):
            build([mine], tmp_path / "out", WISH)
    with pytest.raises(WishError, match=r"unfinished build of other settings or sources: finish it, or remove it"):
        build([mine], tmp_path / "out", replace(WISH, quality=80))


def test_full_disk(mine, tmp_path):
    """A limit on the size of files stands in for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
        with pytest.raises(RunError, match=r"cannot be written \(File too large\): free some room"):
            build([mine], tmp_path / "out", WISH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "out").exists()
    assert sum(build([mine], tmp_path / "out", WISH).photos.values()) == PHOTOS


def test_two_at_once(mine, tmp_path):
    with write._draft(tmp_path / "out", "x"), pytest.raises(RunError, match="another process is building it"):
        build([mine], tmp_path / "out", WISH)


# ---------------------------------------------------------------------------------------------------- broken photos


def test_broken_photos_are_listed_and_few_are_put_up_with(tmp_path):
    layouts.own(tmp_path / "mine", 30)
    layouts.put(tmp_path / "mine" / "rose" / "broken\n1.jpg", layouts.photo(1)[:300])
    layouts.put(tmp_path / "mine" / "rose" / "page.jpg", "<html>")
    with pytest.raises(
        DataError, match=r"2 of 32 photos are damaged, more than max_bad 0.01 allows; the first: .*damaged"
    ):
        build([tmp_path / "mine"], tmp_path / "out", WISH)
    assert not (tmp_path / "out").exists()
    told = Recorder()
    made = build([tmp_path / "mine"], tmp_path / "out", replace(WISH, max_bad="10%"), told)
    assert made.broken == 2 and sum(made.photos.values()) == 30
    rows = lines(tmp_path / "out" / "quarantine.csv")
    assert [row["original_name"] for row in rows] == ["rose/broken\\x0a1.jpg", "rose/page.jpg"]
    assert "no JPEG, PNG or WebP" in rows[1]["reason"]
    assert any("2 photos are damaged" in one for one in told.warnings)


def test_nothing_but_broken_photos(tmp_path):
    layouts.put(tmp_path / "mine" / "rose" / "1.jpg", b"x")
    with pytest.raises(DataError, match="1 of 1 photos are damaged"):
        build([tmp_path / "mine"], tmp_path / "out", replace(WISH, max_bad="100%"))


def test_a_photo_that_may_not_be_read(tmp_path, monkeypatch):
    layouts.own(tmp_path / "mine", 3)
    real = Path.read_bytes

    def refusing(path):
        if path.name == "000.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    build([tmp_path / "mine"], tmp_path / "out", replace(WISH, max_bad="50%"))
    assert lines(tmp_path / "out" / "quarantine.csv")[0]["reason"] == "the file cannot be read (Permission denied)"


def test_names_of_any_bytes_come_through(tmp_path):
    layouts.own(tmp_path / "mine", 30)
    names = [b"two words.jpg", b"a\nline.jpg", b"caf\xe9.jpg", 'ä,"ö".jpg'.encode()]
    for number, name in enumerate(names):
        Path(os.fsdecode(os.fsencode(tmp_path / "mine" / "rose") + b"/" + name)).write_bytes(layouts.photo(90 + number))
    build([tmp_path / "mine"], tmp_path / "out", WISH)
    text = (tmp_path / "out" / "manifest.csv").read_bytes().decode("utf-8")
    assert len(text.splitlines()) == 35
    found = {row["original_name"] for row in lines(tmp_path / "out" / "manifest.csv")}
    assert {"rose/two words.jpg", "rose/a\\x0aline.jpg", "rose/caf\\xe9.jpg", 'rose/ä,"ö".jpg'} <= found


# ---------------------------------------------------------------------------------------------------------- wishes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": ()}, "sizes must be 16 to 2048 px, not none"),
        ({"sizes": (224, 8)}, "not 224, 8"),
        ({"quality": 0}, "quality must be 1 to 100"),
        ({"split": (0.0, 0.5, 0.5)}, "of which train's is above 0"),
        ({"split": (0.7, -0.1, 0.4)}, "split is three shares"),
        ({"together": "maybe"}, "together is twins or copies, not 'maybe'"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"max_bad": "many"}, "a share such as 1% or 0.01, not 'many'"),
        ({"max_bad": "150%"}, "a share such as"),
        ({"threads": 0}, "threads must be 1 or more"),
        ({"beam_options": "--x"}, "beam_options are for --runner beam"),
    ],
)
def test_senseless_wishes(changes, message, mine, tmp_path):
    with pytest.raises(WishError, match=message):
        build([mine], tmp_path / "out", replace(WISH, **changes))
    assert list(tmp_path.iterdir()) == []


def test_beam_that_is_not_installed(mine, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(WishError, match=r"pip install 'corolla\[beam\]'"):
        build([mine], tmp_path / "out", replace(WISH, runner="beam"))


def test_folders_that_are_taken(mine, tmp_path):
    layouts.put(tmp_path / "out" / "x", b"x")
    with pytest.raises(WishError, match="holds something else already"):
        build([mine], tmp_path / "out", WISH)
    build([mine], tmp_path / "two", WISH)
    with pytest.raises(WishError, match="holds a data set of other settings or sources"):
        build([mine], tmp_path / "two", replace(WISH, seed=5))


def test_sources_without_a_class(tmp_path):
    layouts.own(tmp_path / "mine", 6, ("cats", "dogs"))
    with pytest.raises(DataError, match=r"is one of the 104 classes: found 6 photos, called 'cats', 'dogs'"):
        build([tmp_path / "mine"], tmp_path / "out", WISH)


def test_few_photos_leave_splits_empty_and_say_so(tmp_path):
    layouts.own(tmp_path / "mine", 1, ("rose",))
    told = Recorder()
    build([tmp_path / "mine"], tmp_path / "none", replace(WISH, split=(1, 0, 0)), told)
    assert not told.warnings
    build([tmp_path / "mine"], tmp_path / "out", WISH, told)
    assert [one for one in told.warnings if "is empty" in one] == [
        "val is empty: there are too few photos for its share",
        "test is empty: there are too few photos for its share",
    ]


def test_the_command(mine, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["build", str(mine), "--out", str(out), "--sizes", "16", "32", "--quality", "90"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and told["classes"]["rose"] == 50 and told["out"] == str(out)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    seen = capsys.readouterr()
    assert ended.value.code == 0 and seen.out.strip() == str(out) and "there already, and whole" in seen.err
    with pytest.raises(SystemExit) as ended:
        cli.main(["build", str(tmp_path / "none"), "--out", str(out)])
    seen = capsys.readouterr()
    assert ended.value.code == 1 and len(seen.err.splitlines()) == 1


def test_an_error_of_a_thread_ends_the_build(mine, tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("no memory")

    monkeypatch.setattr(work, "rendered", broken)
    with pytest.raises(MemoryError):
        build([mine], tmp_path / "out", WISH)


def test_threads_do_every_task_once_in_order():
    assert list(threads(3)(lambda task: task * 2, range(20))) == [2 * i for i in range(20)]


# ------------------------------------------------------------------------------------------------------------ others


def test_tensorflow_reads_it(built):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install corolla[tensorflow])")
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "class": tf.io.FixedLenFeature([], tf.int64),
        "id": tf.io.FixedLenFeature([], tf.string),
    }
    for split in ("train", "test"):
        files, wanted = find_split(built, split, 32), dict(features)
        if split == "test":
            del wanted["class"]
        seen = []
        for record in tf.data.TFRecordDataset([str(shard.path) for shard in files.shards]):
            parsed = tf.io.parse_single_example(record, wanted)
            image = tf.io.decode_jpeg(parsed["image"], channels=3)
            assert image.shape == (32, 32, 3)
            seen.append((parsed["id"].numpy().decode(), int(parsed["class"]) if "class" in wanted else None))
        assert seen == [(one.id, one.label) for one in examples(built, split)]


@pytest.mark.real_data
def test_real_sources(real_data, tmp_path):
    sources = real_data.parent / "sources"
    if not sources.is_dir():
        pytest.skip(f"the real sources are not on this machine ({sources})")
    told = Recorder()
    made = build([sources / "oxford_102", sources / "tf_flowers"], tmp_path / "out", BuildWish(sizes=(64,)), told)
    assert sum(count > 0 for count in made.classes) == 102
    assert made.classes[NAMES.index("wild geranium")] == 0 == made.classes[NAMES.index("wild rose")]
    assert made.broken == 0 and made.unmapped == 4
    assert check(tmp_path / "out").ok
