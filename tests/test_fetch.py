"""Fetching: kagglehub's own code against a server on loopback that answers as Kaggle does, and what refusals say.

Kaggle itself was never asked. The tests skip, saying so, where kagglehub is not installed (`make test-extras`).
"""

import http.server
import io
import json
import socket
import struct
import sys
import threading
import zipfile
from dataclasses import dataclass, field

import pytest

from corolla import fetch as fetch_module
from corolla.errors import DataError, RunError, WishError
from corolla.fetch import fetch
from corolla.records.shards import find_split
from flow import Recorder
from tiny import write_tiny

SERVICE = "/v1/competitions.CompetitionApiService/"


def test_kagglehub_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(
        WishError, match=r"^fetch wants kagglehub, which is not installed: pip install 'corolla\[kaggle\]'$"
    ):
        fetch()


@dataclass
class Kaggle:
    """What the stand-in gives: an archive, listed sizes, and faults of the download by script (reset, or a status)."""

    archive: bytes = b""
    listed: tuple[int, ...] = (1000, 2000)
    script: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    authorization: str = "Bearer secret"


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """A stand-in for Kaggle with the tiny data set, and credentials for it."""
    pytest.importorskip("kagglehub", reason="kagglehub is not installed (make test-extras)")
    from kagglesdk import kaggle_env

    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    monkeypatch.setattr(fetch_module, "FIRST_WAIT_SECONDS", 0.01)
    given = Kaggle(zipped(write_tiny(tmp_path / "tiny" / "tfrecords-jpeg-224x224").parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Handler,), {"given": given}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, url)
    yield given
    server.shutdown()
    server.server_close()


def zipped(folder) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
    return content.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers of the competition service: a list of files, and the archive, from where it is asked for."""

    given: Kaggle

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.given.asked.append((self.path, self.headers.get("Range", "")))
        if self.headers.get("Authorization") != self.given.authorization:
            self.reply(401, b'{"code": 401, "message": "Unauthenticated"}')
        elif self.path == f"{SERVICE}ListDataFiles":
            files = [{"name": str(n), "totalBytes": size} for n, size in enumerate(self.given.listed)]
            self.reply(200, json.dumps({"files": files}).encode())
        else:
            self.send_archive()

    def do_GET(self) -> None:
        self.given.asked.append((self.path, self.headers.get("Range", "")))
        self.send_archive()

    def send_archive(self) -> None:
        fault = self.given.script.pop(0) if self.given.script else ""
        if fault.isdigit():
            self.reply(int(fault), b"{}")
            return
        wanted = self.headers.get("Range", "")
        body = self.given.archive[int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0 :]
        more = {"Accept-Ranges": "bytes", "Last-Modified": "Mon, 20 Apr 2020 10:00:00 GMT"}
        part = body[: len(body) // 2] if fault == "reset" else body
        self.reply(206 if wanted else 200, part, "application/zip", len(body), more)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def reply(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        size: int | None = None,
        more: dict = {},  # noqa: B006
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(size or len(body)), "Content-Type": kind, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_the_data_arrive(kaggle, tmp_path, capfd):
    found = fetch()
    assert found.is_relative_to(tmp_path / "cache")
    assert find_split(found, "train").count == 24
    assert capfd.readouterr().out == ""  # standard output is the command's
    assert fetch() == found
    out = tmp_path / "out"
    assert fetch(out) == out and find_split(out, "val").count == 12


@pytest.mark.parametrize("where", ["cache", "out"])
def test_a_broken_connection_is_tried_again(kaggle, tmp_path, where):
    kaggle.script += ["reset", "reset"]
    reporter = Recorder()
    found = fetch(tmp_path / "out" if where == "out" else None, reporter=reporter)
    assert find_split(found, "train").count == 24 and reporter.warnings


def test_without_credentials(kaggle, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(
        RunError, match=r"its users only: .* KAGGLE_API_TOKEN .*kaggle.json.* KAGGLE_USERNAME and KAGGLE_KEY"
    ):
        fetch()


def test_kaggle_json_is_enough(kaggle, monkeypatch, tmp_path):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "kaggle.json").write_text('{"username": "me", "key": "k"}')
    kaggle.authorization = "Basic bWU6aw=="
    assert find_split(fetch(), "train").count == 24


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("401", "Kaggle does not know these credentials: make a token"),
        ("403", r"accept the rules on https://www.kaggle.com/competitions/tpu-getting-started/rules, then fetch again"),
        ("404", "cannot be fetched"),
        ("503", "cannot be fetched"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(kaggle, tmp_path, status, words):
    kaggle.script += [status] * 9
    with pytest.raises(RunError, match=words) as caught:
        fetch(tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_no_network(kaggle, monkeypatch):
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"www.kaggle.com cannot be reached \(ConnectionError\): is there a network"):
        fetch()


def test_too_little_room(kaggle, tmp_path):
    kaggle.listed = (10**15,)
    with pytest.raises(RunError, match=r"out: .* GB are free, archive and data together want 2000000.0 GB: make room"):
        fetch(tmp_path / "out")
    assert [path for path, _ in kaggle.asked] == [f"{SERVICE}ListDataFiles"]


def test_a_folder_that_is_not_empty(kaggle, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(WishError, match="holds something already"):
        fetch(tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_another_archive(kaggle, tmp_path):
    kaggle.archive = zipped(write_tiny(tmp_path / "other").parent / "other" / "train")
    with pytest.raises(DataError, match="holds neither train/"):
        fetch(tmp_path / "out")
