"""The real file systems against servers on loopback: gcp-storage-emulator, moto's S3 and a web server, behind a proxy
that refuses, resets, cuts, shortens, stalls and delays.

They want the packages of `make test-extras`; where these are missing the tests skip, saying so.
"""

import functools
import http.server
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from corolla.check import check
from corolla.errors import DataError
from corolla.images import load_split
from corolla.records.shards import find_split
from corolla.run import RunFolder
from corolla.storage import any_path, stores, transfers
from fake_store import upload
from faulty_proxy import Proxy, proxied
from flow import SETTINGS, assert_same_run, options
from hub_stand_in import REPOSITORY, HubHandler

pytestmark = pytest.mark.xdist_group("runs")

NEEDS = {
    "gs": ("gcsfs", "gcp_storage_emulator"),
    "s3": ("s3fs", "moto.server"),
    "http": ("aiohttp",),
    "hf": ("huggingface_hub",),
}
if not any(importlib.util.find_spec(packages[0]) for packages in NEEDS.values()):
    pytest.skip("no store's client is installed (make test-extras)", allow_module_level=True)

FAULTS = ("503", "429", "500", "reset", "cut", "short", "stall", "delay")


class Bench(NamedTuple):
    """A store behind its proxy: where its bucket is, and the folder behind the web server, which cannot be written."""

    scheme: str
    url: str
    proxy: Proxy
    folder: Path | None = None

    def put(self, folder: Path, name: str) -> str:
        """Bring a folder into the store; return its URL."""
        if self.folder is None:
            upload(folder, f"{self.url}/{name}")
        else:
            (self.folder / name).symlink_to(folder)
        self.proxy.log.clear()
        return f"{self.url}/{name}"


@pytest.fixture(scope="module", params=list(NEEDS))
def server(request, tmp_path_factory) -> Iterator[tuple[str, int, Path | None]]:
    """(scheme, port, folder) of a server that is as it should be."""
    for package in NEEDS[request.param]:
        pytest.importorskip(package, reason=f"{package} is not installed (make test-extras)")
    with ExitStack() as stack:
        yield stack.enter_context(SERVERS[request.param](tmp_path_factory))


@contextmanager
def google(tmp_path_factory) -> Iterator[tuple[str, int, None]]:
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    running = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    running.start()
    yield "gs", running._api._httpd.socket.getsockname()[1], None
    running.stop()


@contextmanager
def amazon(tmp_path_factory) -> Iterator[tuple[str, int, None]]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    running = ThreadedMotoServer("127.0.0.1", 0)
    running.start()
    yield "s3", running._server.server_port, None
    running.stop()


@contextmanager
def web(tmp_path_factory) -> Iterator[tuple[str, int, Path]]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    folder = tmp_path_factory.mktemp("web")
    with served(functools.partial(Quiet, directory=str(folder))) as port:
        yield "http", port, folder


@contextmanager
def face(tmp_path_factory) -> Iterator[tuple[str, int, Path]]:
    folder = tmp_path_factory.mktemp("hub")
    with served(type("Answers", (HubHandler,), {"folder": folder})) as port:
        yield "hf", port, folder


@contextmanager
def served(handler: Any) -> Iterator[int]:
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_address[1]
    running.shutdown()
    running.server_close()


SERVERS = {"gs": google, "s3": amazon, "http": web, "hf": face}


@pytest.fixture
def bench(server, monkeypatch) -> Iterator[Bench]:
    """A store behind a fresh proxy, with little patience; a stalled body is given up after a second."""
    scheme, port, folder = server
    with proxied(port) as proxy:
        for name, value in environment(scheme, proxy.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(transfers, "PATIENCE", transfers.Patience(5, 0.01, 0.05, 4, 30))
        monkeypatch.setattr(stores, "SILENCE_SECONDS", 1)
        import fsspec

        fsspec.config.conf.clear()
        fsspec.config.set_conf_env(fsspec.config.conf)
        stores.forget()
        if scheme == "s3":
            with suppress(FileExistsError):
                stores.call("s3", "mkdir", "s3://bucket", seconds=10)
        bucket = {"http": proxy.url, "hf": f"hf://{REPOSITORY}"}.get(scheme, f"{scheme}://bucket")
        yield Bench(scheme, bucket, proxy, folder)
    stores.forget()


def environment(scheme: str, url: str) -> dict[str, str]:
    """What leads a client to the proxy."""
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon"}
    if scheme == "s3":
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
    return {"FSSPEC_HF_ENDPOINT": url} if scheme == "hf" else {}


def assert_same_photos(one, other) -> None:
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.ids == other.ids


def test_data_are_read_as_from_the_disk(bench, flowers):
    data = any_path(bench.put(flowers, "plain"))
    assert_same_photos(load_split(find_split(data, "train")), load_split(find_split(flowers, "train")))
    assert check(data).ok


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_on_the_way_of_a_shard_pass(bench, flowers, fault):
    data = any_path(bench.put(flowers, f"fault-{fault}"))
    bench.proxy.script += [("GET", "00-32x32-15", fault), ("GET", "01-32x32-15", fault)]
    assert_same_photos(load_split(find_split(data, "train")), load_split(find_split(flowers, "train")))
    assert bench.proxy.script == []


def test_only_a_piece_is_fetched_again(bench, tmp_path, monkeypatch):
    if bench.folder:
        pytest.skip("http.server of Python knows no ranges; Hugging Face's client goes on by itself")
    content = np.random.default_rng(0).bytes(100_000)
    monkeypatch.setattr(transfers, "PIECE_BYTES", 10_000)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "large.bin").write_bytes(content)
    path = any_path(bench.put(tmp_path / "d", "large")) / "large.bin"
    content_of = "large.bin?alt=media" if bench.scheme == "gs" else "large.bin"
    bench.proxy.script += [("GET", content_of, fault) for fault in ("503", "reset", "short")]
    assert path.read_bytes() == content
    ranges = [wanted for _, path, wanted in bench.proxy.log if wanted]
    assert len(set(ranges)) == 10 and len(ranges) == 13


def test_a_server_without_ranges(bench, tmp_path, monkeypatch):
    if bench.scheme != "http":
        pytest.skip("stores know ranges")
    content = np.random.default_rng(0).bytes(100_000)
    monkeypatch.setattr(transfers, "PIECE_BYTES", 10_000)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "large.bin").write_bytes(content)
    path = any_path(bench.put(tmp_path / "d", "large")) / "large.bin"
    bench.proxy.script += [("GET", "large.bin", "cut")]
    assert path.read_bytes() == content
    assert [method for method, _, _ in bench.proxy.log].count("GET") == 2


@pytest.mark.parametrize("status", ["403", "404"])
def test_what_is_refused_is_one_line(bench, flowers, status):
    """HEAD and GET, because clients describe a file before they fetch it, some by the one, some by the other."""
    data = any_path(bench.put(flowers, f"refused-{status}"))
    files = find_split(data, "train")
    bench.proxy.script += [(method, "00-32x32-15", status) for method in ("GET", "HEAD") for _ in range(3)]
    before = time.monotonic()
    with pytest.raises(DataError) as caught:
        load_split(files)
    words = {"403": "access refused", "404": "there is no such file"}[status]
    assert words in str(caught.value) and "\n" not in str(caught.value) and "00-32x32-15.tfrec" in str(caught.value)
    assert time.monotonic() - before < 20


def test_a_server_that_never_answers_well(bench, flowers):
    if bench.scheme == "hf":
        pytest.skip("its client has patience of its own, of 45 s")
    data = any_path(bench.put(flowers, "never"))
    files = find_split(data, "val")
    bench.proxy.script += [(method, "00-32x32-13", "503") for method in ("GET", "HEAD") for _ in range(99)]
    with pytest.raises(DataError, match=r"00-32x32-13.tfrec: cannot be opened \(.*, [1-5] times\)|no answer in time"):
        load_split(files)


def test_nothing_is_there(bench):
    for name in ("nothing", "nothing/train"):
        assert not any_path(f"{bench.url}/{name}").exists()
    with pytest.raises(DataError, match=r"no such folder|shows no page of links"):
        find_split(any_path(f"{bench.url}/nothing"), "train")


def test_a_listing_is_fresh(bench):
    if bench.folder:
        pytest.skip("it is only read")
    folder = any_path(f"{bench.url}/listed")
    for name in ("a", "b"):
        (folder / name).write_bytes(b"x")
        assert folder / name in list(folder.iterdir())
    (folder / "a").unlink()
    (folder / "a").unlink()
    assert [path.name for path in folder.iterdir()] == ["b"] and not (folder / "a").exists()


def test_writing_is_whole_and_tried_again(bench):
    if bench.folder:
        pytest.skip("it is only read")
    path = any_path(f"{bench.url}/written/file.bin")
    for method in ("PUT", "POST"):
        bench.proxy.script += [(method, "", "503"), (method, "", "reset")]
    content = np.random.default_rng(0).bytes(300_000)
    path.write_bytes(content)
    assert path.read_bytes() == content and path.stat().st_size == len(content)


def test_a_bucket_that_is_not_there(bench):
    if bench.folder:
        pytest.skip("it is only read")
    path = any_path(f"{bench.scheme}://no-such-bucket-here/file.bin")
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="there is no such bucket"):
        path.write_bytes(b"x")


# ------------------------------------------------------------------------------------------------------------- runs


def started(words: list[str], scheme: str, url: str) -> subprocess.Popen:
    """`corolla` in a process of its own."""
    command = [sys.executable, "-m", "corolla.cli", *words]
    return subprocess.Popen(
        command, env=os.environ | environment(scheme, url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_run_is_killed_and_goes_on(bench, flowers, finished):
    """SIGKILL after the second checkpoint began; the second life meets a 503 and a reset on its way."""
    if bench.folder:
        pytest.skip("it is only read")
    data, run = bench.put(flowers, "killed"), any_path(f"{bench.url}/runs/killed")
    words = ["train", data, "--out", str(run), *options(SETTINGS)]
    first = started(words, bench.scheme, bench.proxy.url)
    while first.poll() is None and not any("step-00000001" in path for _, path, _ in bench.proxy.log):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, first.communicate()
    assert not RunFolder(run).finished()
    bench.proxy.script += [("GET", "tfrec", "503"), ("GET", "tfrec", "reset")]
    second = started(words, bench.scheme, bench.proxy.url)
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert out.strip() == str(run) and "Traceback" not in err
    assert_same_run(run, finished)


def test_the_commands_from_a_web_server(bench, flowers, finished, tmp_path):
    """Reading only: data and run from it, the result to the disk."""
    if bench.scheme != "http":
        pytest.skip("stores are tested by a whole run")
    data, run = bench.put(flowers, "data"), bench.put(finished, "run")
    out = tmp_path / "submission.csv"
    done = started(["predict", run, "--data", data, "--out", str(out)], bench.scheme, bench.proxy.url)
    printed, err = done.communicate()
    assert done.returncode == 0 and printed.strip() == str(out), err
    assert len(out.read_text().splitlines()) == 10
