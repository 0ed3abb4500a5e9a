"""Checkpoints: whole or not there, proven when read, and never lost to a kill, a full disk or a folder of others."""

import itertools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from corolla import checkpoint
from corolla.checkpoint import ARRAYS, MANIFEST, META, load, load_newest, numbered, save, write_file
from corolla.errors import RunError
from corolla.storage import any_path

ONE_LINE = r"\A[^\n]+\Z"
dtypes = st.sampled_from([np.float32, np.int32, np.uint8, np.bool_, np.uint32])
arrays = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
    dtypes.flatmap(lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0))),
    max_size=4,
)


def content(number: int) -> tuple[dict, dict]:
    """Return the arrays and the meta of a checkpoint, its own for each number."""
    return {"w/0": np.full((3, 4), number, np.float32)}, {"number": number, "name": "ö"}


def save_number(parent: Path, number: int, keep: int = 2) -> Path:
    return save(parent, "step", number, *content(number), keep)


def assert_holds(saved: checkpoint.Saved, number: int) -> None:
    wanted, meta = content(number)
    assert (saved.number, saved.meta) == (number, meta)
    np.testing.assert_array_equal(saved.arrays["w/0"], wanted["w/0"])


def newest(parent: Path) -> checkpoint.Saved:
    saved, damaged = load_newest(parent, "step")
    assert saved is not None and damaged == []
    return saved


# ------------------------------------------------------------------------------------------------------- round trip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays, st.integers(0, 99_999_999))
def test_round_trip(tmp_path, values, number):
    folder = save(tmp_path, "step", number, values, {"a": [1, 2.5, None, "ö"]}, keep=1)
    saved = load(folder)
    assert saved.number == number and saved.meta == {"a": [1, 2.5, None, "ö"]}
    assert saved.arrays.keys() == values.keys()
    for name, value in values.items():
        assert saved.arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(saved.arrays[name], value)


def test_the_newest_two_are_kept(tmp_path):
    for number in (0, 3, 12, 100_000):
        save_number(tmp_path, number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000012", "step-00100000"]
    assert_holds(newest(tmp_path), 100_000)


def test_names_do_not_mix(tmp_path):
    save_number(tmp_path, 5)
    save(tmp_path, "epoch", 9, {}, {}, keep=1)
    assert_holds(newest(tmp_path), 5)


def test_the_same_number_again_replaces(tmp_path):
    save(tmp_path, "step", 7, {}, {"old": True}, keep=2)
    save_number(tmp_path, 7)
    assert_holds(newest(tmp_path), 7)


def test_a_run_that_turned_back_keeps_what_it_saves_now(tmp_path):
    """Both checkpoints were damaged, so it began again: its new ones count, not those of the life before."""
    for number in (8, 10, 1):
        save_number(tmp_path, number)
    assert_holds(newest(tmp_path), 1)
    save_number(tmp_path, 2)
    assert [path.name for path in numbered(tmp_path, "step")] == ["step-00000001", "step-00000002"]


def test_no_checkpoint(tmp_path):
    assert load_newest(tmp_path, "step") == (None, [])
    assert load_newest(tmp_path / "missing", "step") == (None, [])


def test_what_is_not_ours_is_ignored(tmp_path):
    save_number(tmp_path, 4)
    for name in ("9", "step-9", "step-000000009", "step-0000000x", "xstep-00000009", "step-00000009.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000010").write_text("a file")
    (tmp_path / ".unfinished-step-00000011").mkdir()
    assert [path.name for path in numbered(tmp_path, "step")] == ["step-00000004"]
    assert_holds(newest(tmp_path), 4)
    save_number(tmp_path, 5, keep=1)
    assert (tmp_path / "9").is_dir() and (tmp_path / "step-00000010").is_file()


# ---------------------------------------------------------------------------------------------------------- bit rot


@pytest.mark.parametrize("name", [ARRAYS, META, MANIFEST])
def test_any_flipped_bit_is_found_and_named(tmp_path, name):
    save_number(tmp_path, 1)
    path = save_number(tmp_path, 2) / name
    whole = path.read_bytes()
    places = range(len(whole)) if len(whole) < 300 else np.random.default_rng(0).integers(0, len(whole), 300)
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(place) % 8
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=ONE_LINE):
            load(path.parent)
    saved, (line,) = load_newest(tmp_path, "step")
    assert_holds(saved, 1)
    assert str(path.parent) in line
    path.write_bytes(whole)
    assert_holds(newest(tmp_path), 2)


@pytest.mark.parametrize("name", [ARRAYS, META, MANIFEST])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "another run's"])
def test_files_that_are_not_what_was_written(tmp_path, name, damage):
    path = save_number(tmp_path, 2) / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "another run's":
        path.write_bytes((save_number(tmp_path / "other", 3) / name).read_bytes())
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-1], "longer": whole + b"\n"}[damage])
    if name == MANIFEST and damage in ("cut", "longer"):  # white space at its end, which says nothing
        return assert_holds(load(path.parent), 2)
    with pytest.raises(RunError, match=str(path.parent)):
        load(path.parent)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"arrays.npz": 3}', '{"arrays.npz": {}, "meta.json": {}}'])
def test_a_foreign_manifest(tmp_path, text):
    folder = save_number(tmp_path, 2)
    (folder / MANIFEST).write_text(text)
    with pytest.raises(RunError, match=r"damaged"):
        load(folder)


def test_a_pickle_is_not_run(tmp_path):
    """A manifest can be forged together with its arrays; loading must still run no code."""
    with pytest.raises(ValueError, match="allow_pickle"):
        load(save(tmp_path, "step", 0, {"a": np.array([{}], object)}, {}, 1))


# -------------------------------------------------------------------------------------------------------------- kill

CALLS = ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "mkdir"), (Path, "open"), (np, "savez"))


def save_again(folder: Path, number: int) -> None:
    """What the killed child does: a checkpoint, then a file."""
    save_number(folder, number)
    write_file(folder / "scores.json", b"new" * 1000)


def killed_at(point: int, folder: Path, number: int) -> int:
    """Fork a child that dies right before (even) or after (odd) its point // 2-th call; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    passed = itertools.count()

    def counted(call):
        def wrapped(*arguments, **options):
            here = 2 * next(passed)
            if here == point:
                os._exit(9)
            result = call(*arguments, **options)
            if here + 1 == point:
                os._exit(9)
            return result

        return wrapped

    for owner, name in CALLS:
        setattr(owner, name, counted(getattr(owner, name)))
    save_again(folder, number)
    os._exit(0)


def kill_everywhere(parent: Path) -> None:
    """Save over two checkpoints and a file, killed at every point: a step further, and at the newest step again."""
    for number in (3, 2):
        for point in itertools.count():
            folder = parent / f"{number}-{point}"
            save_number(folder, 1)
            save_number(folder, 2)
            write_file(folder / "scores.json", b"old" * 1000)
            if killed_at(point, folder, number) == 0:
                break


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of `kill_everywhere`; a process of its own, because forking one with JAX in it is not safe."""
    parent = tmp_path_factory.mktemp("killed")
    program = f"import pathlib, test_checkpoint as t; t.kill_everywhere(pathlib.Path({str(parent)!r}))"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True)
    return sorted(parent.iterdir())


def test_a_kill_at_any_point_leaves_a_whole_checkpoint_and_a_whole_file(killed):
    assert len(killed) > 40
    found = set()
    for folder in killed:
        saved = newest(folder)
        assert_holds(saved, saved.number)
        file = (folder / "scores.json").read_bytes()
        assert file in (b"old" * 1000, b"new" * 1000)
        found.add((folder.name[0], saved.number, file[:3]))
    assert found == {
        *(("3", 2, b"old"), ("3", 3, b"old"), ("3", 3, b"new")),
        *(("2", 1, b"old"), ("2", 2, b"old"), ("2", 2, b"new")),
    }


def test_what_a_kill_left_is_cleared_away_by_the_next_save(killed):
    for folder in killed:
        save_number(folder, 4)
        write_file(folder / "scores.json", b"")
        file, before, new = sorted(path.name for path in folder.iterdir())
        assert (file, before[:5], new) == ("scores.json", "step-", "step-00000004")


def test_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    """What a power cut asks for: the files and their folder are flushed before the rename, the rename after it."""
    events: list[int | str] = []
    flush, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append(os.fstat(handle).st_ino), flush(handle)))
    monkeypatch.setattr(Path, "rename", lambda path, target: (events.append("rename"), rename(path, target)))
    folder = save_number(tmp_path, 1)
    place = events.index("rename")
    assert {path.stat().st_ino for path in (*folder.iterdir(), folder)} <= set(events[:place])
    assert tmp_path.stat().st_ino in events[place:]


# ------------------------------------------------------------------------------------- no room, no permission, no luck


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond the limit: writing fails as on a full disk or over a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """In `folder`, without the right to write there; root gives its own rights up for as long."""
    before = Path.cwd()
    os.chdir(folder)
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        os.chdir(before)


@pytest.mark.parametrize("limit_bytes", [0, 200, 20_000])
def test_full_disk(tmp_path, limit_bytes):
    """At the first byte, within the small files, and within the arrays."""
    save_number(tmp_path, 1)
    save_number(tmp_path, 2)
    values = {"w/0": np.ones(10_000, np.float32)}
    with (
        full_disk(limit_bytes),
        pytest.raises(RunError, match=r"step-00000003 cannot be written \(File too large\): make room") as raised,
    ):
        save(tmp_path, "step", 3, values, {}, 2)
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]
    assert_holds(newest(tmp_path), 2)


def test_full_disk_keeps_the_old_file(tmp_path):
    write_file(tmp_path / "metrics.jsonl", b"old")
    with full_disk(2), pytest.raises(RunError, match=ONE_LINE):
        write_file(tmp_path / "metrics.jsonl", b"new and longer")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"old"


def test_read_only_folder(tmp_path):
    save_number(tmp_path, 1)
    with nobody(tmp_path):
        for write in (lambda: save_number(Path(), 2), lambda: write_file(Path("a.json"), b"{}")):
            with pytest.raises(RunError, match=r"cannot be written \(Permission denied\): make room or choose"):
                write()
    assert_holds(newest(tmp_path), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda: write_file(tmp_path / "file" / "a.json", b""),
        lambda: write_file(tmp_path / "file" / "deeper" / "a.json", b""),
        lambda: save_number(tmp_path / "file", 1),
    ):
        with pytest.raises(RunError, match=ONE_LINE):
            write()


def test_json_is_written_strictly_and_read_with_a_name_to_blame(tmp_path):
    path = tmp_path / "a.json"
    checkpoint.write_json(path, {"ö": [1.5, None]})
    assert checkpoint.read_json(path) == {"ö": [1.5, None]} == json.loads(path.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint.write_json(path, {"loss": float("nan")})
    assert checkpoint.read_json(path) == {"ö": [1.5, None]}
    path.write_bytes(b"\xff{")
    for broken in (path, tmp_path / "missing.json", tmp_path):
        with pytest.raises(RunError, match=str(broken)):
            checkpoint.read_json(broken)


# ---------------------------------------------------------------------------------------------------------- in a store


@pytest.fixture
def bucket(fake_store):
    """A folder of an empty store, and the store."""
    return any_path("fake://bucket/run"), fake_store


def test_a_store_gives_back_what_it_was_given(bucket):
    parent, _ = bucket
    assert load_newest(parent, "step") == (None, [])
    for number in (0, 3, 12, 100_000):
        save_number(parent, number)
    assert [path.name for path in numbered(parent, "step")] == ["step-00000012", "step-00100000"]
    assert_holds(newest(parent), 100_000)
    assert len(list(parent.iterdir())) == 2


def test_a_run_in_a_store_that_turned_back(bucket):
    parent, _ = bucket
    for number in (8, 10, 1):
        save_number(parent, number)
    assert_holds(newest(parent), 1)
    save(parent, "step", 1, {}, {"again": True}, keep=2)
    assert newest(parent).meta == {"again": True}


def test_what_a_kill_leaves_in_a_store_is_ignored_and_removed(bucket):
    """The manifest comes last and goes first, so at every moment some checkpoint is whole."""
    parent, store = bucket
    save_number(parent, 1)
    points = 0
    while True:
        save_number(parent, 2)
        store.script.append(("pipe_file", "", SystemExit("killed")))
        store.script[:-1] = [("pipe_file", "step", lambda done: done)] * points
        try:
            save_number(parent, 3)
        except SystemExit:
            assert_holds(newest(parent), 2)
            save_number(parent, 4)
            assert sorted(path.name for path in parent.iterdir()) == ["step-00000002", "step-00000004"]
            points += 1
        else:
            break
        finally:
            store.script.clear()
    assert points == 3


@pytest.mark.parametrize("call", range(6))
def test_a_kill_while_the_same_number_is_written_again(bucket, call):
    parent, store = bucket
    save_number(parent, 1)
    save_number(parent, 2)
    for method in ("rm_file", "pipe_file"):
        store.script += [(method, "step-00000002", lambda done: done)] * (call % 3)
        store.script += [(method, "step-00000002", SystemExit("killed"))] if (call < 3) == (method == "rm_file") else []
    with suppress(SystemExit):
        save_number(parent, 2)
    store.script.clear()
    saved, damaged = load_newest(parent, "step")
    assert saved is not None and damaged == []
    assert_holds(saved, saved.number)


@pytest.mark.parametrize("error", [PermissionError("no"), ConnectionResetError(104, "reset")])
@pytest.mark.parametrize("name", [ARRAYS, META, MANIFEST])
def test_a_store_that_refuses_to_write(bucket, name, error):
    parent, store = bucket
    save_number(parent, 1)
    store.script += [("pipe_file", name, error)] * 4
    with pytest.raises(RunError, match=r"fake://bucket/run/step-00000002.* cannot be written \(.*nothing was lost"):
        save_number(parent, 2)
    store.script.clear()
    assert_holds(newest(parent), 1)


def test_a_store_that_does_not_answer_is_no_damaged_checkpoint(bucket):
    """Else a run would turn back to an older checkpoint, or begin anew, for want of a network."""
    parent, store = bucket
    save_number(parent, 1)
    save_number(parent, 2)
    for method, part in (("cat_file", ARRAYS), ("cat_file", MANIFEST), ("info", "step-00000002"), ("ls", "run")):
        store.script += [(method, part, ConnectionResetError(104, "reset"))] * 4
        with pytest.raises((RunError, OSError), match="reset, 4 times"):
            load_newest(parent, "step")
        store.script.clear()
    assert_holds(newest(parent), 2)


def test_bit_rot_in_a_store(bucket):
    parent, _ = bucket
    save_number(parent, 1)
    path = save_number(parent, 2) / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    saved, (line,) = load_newest(parent, "step")
    assert_holds(saved, 1)
    assert str(path) in line
