"""Paths: names, folders, what is fetched ahead, and that a remote path answers like a local one."""

import pickle
import threading
from pathlib import Path

import pytest

from corolla.errors import WishError
from corolla.storage import RemotePath, any_path, local_copy, opened_ahead, refuse_unwritable
from corolla.storage import paths as paths_module


@pytest.mark.parametrize("written", ["data", "/data/flowers", "a:b/c", "C:/data", "./gs", "file:///data", Path("x/y")])
def test_what_lies_on_the_disk(written):
    assert any_path(written) == Path(str(written).removeprefix("file://"))


@pytest.mark.parametrize("written", ["gs://bucket/a/b", "gs://bucket//a/b/", "gs:/bucket/a/b", Path("gs://bucket/a/b")])
def test_what_lies_in_a_store(written):
    """`Path` takes a slash away; whoever passes one means the store all the same."""
    assert str(any_path(written)) == "gs://bucket/a/b"
    assert any_path(any_path(written)) == any_path(written)


@pytest.mark.parametrize(
    "written", ["gs://", "s3:///", "gs://bucket/../other", "https://host/a?token=1", "http://me:pw@h/a"]
)
def test_what_is_no_folder(written):
    with pytest.raises(WishError) as caught:
        any_path(written)
    assert "pw" not in str(caught.value) and "token" not in str(caught.value)


def test_names():
    path = any_path("gs://bucket/tfrecords-jpeg-224x224/train/00-224x224-10.tfrec")
    assert isinstance(path, RemotePath)
    assert (path.name, path.stem, path.suffix) == ("00-224x224-10.tfrec", "00-224x224-10", ".tfrec")
    assert path.parent.parent.name == "tfrecords-jpeg-224x224"
    assert any_path("gs://bucket/a").parent == any_path("gs://bucket") == any_path("gs://bucket").parent
    assert any_path("gs://bucket").name == "bucket"
    assert any_path("gs://b/a") / "train" / "x.tfrec" == any_path("gs://b/a/train/x.tfrec")
    assert sorted([any_path("gs://b/2"), any_path("gs://b/1")])[0].name == "1"
    assert pickle.loads(pickle.dumps(path)) == path and len({path, any_path(str(path))}) == 1


@pytest.mark.parametrize("repository", ["hf://datasets/owner/name", "hf://owner/name"])
def test_a_repository_is_the_highest_folder(repository):
    path = any_path(f"{repository}/train")
    assert str(path.parent) == str(path.parent.parent) == repository


@pytest.mark.parametrize("url", ["https://host/run", "http://host/run", "hf://datasets/owner/name/run"])
def test_what_is_only_read(url):
    with pytest.raises(WishError, match="can only be read"):
        refuse_unwritable(any_path(url))


def test_what_can_be_written(fake_store):
    for path in ("fake://bucket/run", "runs/mine"):
        refuse_unwritable(any_path(path))


def test_a_store_that_refuses_is_known_before_the_work(fake_store):
    fake_store.script.append(("info", "run", PermissionError("no")))
    with pytest.raises(PermissionError, match="access refused"):
        refuse_unwritable(any_path("fake://bucket/run"))


@pytest.mark.parametrize("scheme", ["nope", "g-s"])
def test_schemes_nobody_knows(scheme):
    with pytest.raises(WishError, match=f"{scheme}:// is no place that Corolla knows: take gs://"):
        any_path(f"{scheme}://bucket").exists()


@pytest.mark.parametrize(
    ("url", "extra"), [("gs://b/x", "gcs"), ("s3://b/x", "s3"), ("https://h/x", "http"), ("hf://o/n", "hf")]
)
def test_a_missing_extra_is_named(url, extra, monkeypatch):
    import sys

    import fsspec  # noqa: F401

    from corolla.storage import stores

    for package in ("gcsfs", "gcsfs.core", "s3fs", "aiohttp", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    for module in ("fsspec.implementations.http",):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delitem(
        sys.modules["fsspec.registry"]._registry, "hf", raising=False
    )  # fsspec keeps what it has once found
    stores.forget()
    with pytest.raises(WishError, match=rf"not installed: pip install 'corolla\[{extra}\]'$"):
        any_path(url).exists()
    stores.forget()


# ---------------------------------------------------------------------------------------------------------- folders


def test_files_and_folders(fake_store):
    folder = any_path("fake://bucket/data")
    assert not folder.is_dir() and not folder.exists() and list(folder.iterdir()) == []
    (folder / "train" / "a.tfrec").write_bytes(b"abc")
    (folder / "ids.csv").write_bytes("id,ö".encode())
    assert folder.is_dir() and not folder.is_file() and (folder / "train").is_dir()
    assert sorted(path.name for path in folder.iterdir()) == ["ids.csv", "train"]
    assert (folder / "ids.csv").read_text() == "id,ö" and (folder / "ids.csv").stat().st_size == 5
    assert (folder / "train/a.tfrec").open("rb").read(2) == b"ab"
    with pytest.raises(FileNotFoundError):
        (folder / "other").stat()


def test_a_folder_is_listed_anew_each_time(fake_store):
    folder = any_path("fake://bucket/data")
    for name in ("a", "b"):
        (folder / name).write_bytes(b"")
        assert (folder / name) in list(folder.iterdir())
    (folder / "a").unlink()
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_what_was_listed_is_not_asked_for_again(fake_store):
    (any_path("fake://bucket/data") / "a").write_bytes(b"abc")
    (file,) = any_path("fake://bucket/data").iterdir()
    fake_store.calls.clear()
    assert file.is_file() and not file.is_dir() and fake_store.calls == []


def test_a_listing_that_names_a_file_which_is_gone(fake_store):
    (any_path("fake://bucket/data") / "a").write_bytes(b"abc")
    (file,) = any_path("fake://bucket/data").iterdir()
    any_path(str(file)).unlink()
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        file.read_bytes()


def test_a_store_that_does_not_answer_is_no_empty_folder(fake_store):
    (any_path("fake://bucket/data") / "a").write_bytes(b"abc")
    fake_store.script += [("ls", "data", ConnectionResetError(104, "reset"))] * 4 + [
        ("info", "data", TimeoutError())
    ] * 4
    with pytest.raises(OSError, match="reset, 4 times"):
        list(any_path("fake://bucket/data").iterdir())
    with pytest.raises(TimeoutError, match="no answer in time, 4 times"):
        any_path("fake://bucket/data").is_dir()


def test_a_copy_on_the_disk(fake_store, tmp_path):
    (any_path("fake://bucket/preset") / "config.json").write_bytes(b"{}")
    (any_path("fake://bucket/preset") / "inner" / "x").write_bytes(b"")
    copy = local_copy(any_path("fake://bucket/preset"))
    assert [(path.name, path.read_bytes()) for path in copy.iterdir()] == [("config.json", b"{}")]
    assert local_copy(tmp_path) == tmp_path


# ------------------------------------------------------------------------------------------------------------ ahead


def written(count: int, size: int = 10) -> list[RemotePath]:
    """Write files of `size` bytes; return them as a listing does."""
    folder = any_path("fake://bucket/data")
    for number in range(count):
        (folder / f"{number:02d}").write_bytes(bytes([number]) * size)
    return sorted(folder.iterdir())


def test_files_come_in_order_local_or_remote(fake_store, tmp_path):
    (tmp_path / "local").write_bytes(b"here")
    files = written(9)
    mixed = [*files[:3], tmp_path / "local", *files[3:]]
    contents = [opener().read() for opener in opened_ahead(mixed)]
    assert contents == [path.read_bytes() for path in mixed]


def test_an_opener_opens_again_without_fetching_again(fake_store):
    (opener,) = opened_ahead(written(1))
    assert opener().read() == opener().read() == bytes(10)
    assert [name for name, _ in fake_store.calls].count("cat_file") == 1


@pytest.mark.parametrize(("files", "size", "wanted"), [(12, 10, 4), (12, 400, 2), (3, 5000, 1)])
def test_what_is_fetched_ahead_is_bounded(fake_store, monkeypatch, files, size, wanted):
    """At most so many files, and so many bytes, wait to be used."""
    monkeypatch.setattr(paths_module, "BYTES_AHEAD", 1000)
    begun, lock = [], threading.Lock()

    def read_bytes(self: RemotePath) -> bytes:
        with lock:
            begun.append(self.name)
        return b""

    listed = written(files, size)
    monkeypatch.setattr(RemotePath, "read_bytes", read_bytes)
    for used, opener in enumerate(opened_ahead(listed), 1):
        opener()
        assert len(begun) <= used + wanted
    assert sorted(begun) == [path.name for path in listed]


def test_what_fails_ahead_is_raised_in_its_turn(fake_store):
    fake_store.script += [("cat_file", "/01", PermissionError("no"))]
    openers = list(opened_ahead(written(3)))
    assert openers[0]().read() and openers[2]().read()
    with pytest.raises(PermissionError, match="access refused"):
        openers[1]()


def test_who_stops_early_leaves_the_rest(fake_store):
    ahead = opened_ahead(written(30))
    next(ahead)()
    ahead.close()
    assert [name for name, _ in fake_store.calls].count("cat_file") < 15
