"""Transfers: faults that pass are met with patience that ends, and what arrives is what was there."""

import errno
import threading

import pytest

from corolla.errors import WishError
from corolla.storage import any_path, transfers
from corolla.storage.transfers import Patience, patiently

CONTENT = bytes(range(256)) * 40
URL = "fake://bucket/data/file.bin"


class StatusError(Exception):
    """An HTTP client's exception."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@pytest.fixture
def stored(fake_store):
    """The store with one file in it, and an empty list of calls."""
    any_path(URL).write_bytes(CONTENT)
    fake_store.calls.clear()
    return fake_store


@pytest.fixture
def pieces(monkeypatch):
    """Files come in pieces of 1,000 bytes."""
    monkeypatch.setattr(transfers, "PIECE_BYTES", 1000)


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "error", [StatusError(503), StatusError(429), ConnectionResetError(104, "reset"), TimeoutError()]
)
@pytest.mark.parametrize("method", ["info", "cat_file"])
def test_what_passes_is_tried_again(stored, method, error):
    stored.script += [(method, "file.bin", error), (method, "file.bin", error)]
    assert any_path(URL).read_bytes() == CONTENT
    assert stored.script == []


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (StatusError(403), PermissionError, "access refused (403 Forbidden)"),
        (StatusError(401), PermissionError, "access refused (401 Unauthorized)"),
        (StatusError(404), FileNotFoundError, "there is no such file (404 Not Found)"),
        (FileNotFoundError(URL), FileNotFoundError, "there is no such file"),
        (PermissionError(URL), PermissionError, "access refused"),
        (StatusError(400), OSError, "the server answered 400 Bad Request (StatusError: HTTP 400)"),
        (ValueError("odd"), OSError, "ValueError: odd"),
    ],
)
def test_what_does_not_pass_is_tried_once(stored, error, kind, words):
    stored.script += [("cat_file", "file.bin", error)]
    with pytest.raises(kind) as caught:
        any_path(URL).read_bytes()
    assert (caught.value.strerror, caught.value.filename) == (words, URL)
    assert [name for name, _ in stored.calls].count("cat_file") == 1


def test_patience_ends_and_says_how_often(stored):
    stored.script += [("cat_file", "file.bin", StatusError(503))] * 9
    with pytest.raises(OSError, match=r"the server answered 503 Service Unavailable, 4 times") as caught:
        any_path(URL).read_bytes()
    assert caught.value.errno == errno.EIO and len(stored.script) == 5


def test_a_file_that_only_seems_missing(stored):
    """fsspec's HTTP says FileNotFoundError for every answer that it did not like."""
    error = FileNotFoundError(URL)
    error.__cause__ = StatusError(502)
    stored.script += [("info", "file.bin", error)]
    assert any_path(URL).read_bytes() == CONTENT


@pytest.mark.parametrize("cut", [lambda content: content[:-1], lambda content: b"", lambda content: content + b"x"])
def test_too_few_or_too_many_bytes(stored, cut):
    stored.script += [("cat_file", "file.bin", cut)]
    assert any_path(URL).read_bytes() == CONTENT
    stored.script += [("cat_file", "file.bin", cut)] * 4
    with pytest.raises(OSError, match=r"\d+ of 10240 bytes came, 4 times"):
        any_path(URL).read_bytes()


def test_only_the_piece_that_failed_is_fetched_again(stored, pieces, monkeypatch):
    asked, lock, faults = [], threading.Lock(), {3000: [StatusError(503), ConnectionResetError(104, "reset")]}
    real = stored.cat_file

    def counted(self, path, start=None, end=None, **options):
        with lock:
            asked.append(start)
            if faults.get(start):
                raise faults[start].pop()
        content = real(self, path, start, end)
        return content[:-7] if asked.count(5000) == 1 and start == 5000 else content

    monkeypatch.setattr(stored, "cat_file", counted)
    assert any_path(URL).read_bytes() == CONTENT
    assert sorted(asked) == sorted([*range(0, len(CONTENT), 1000), 3000, 3000, 5000])


def test_a_server_that_knows_no_ranges_sends_the_file_once(stored, pieces):
    stored.script += [("cat_file", "file.bin", lambda piece: CONTENT)]
    assert any_path(URL).read_bytes() == CONTENT
    assert [name for name, _ in stored.calls] == ["info", "cat_file", "info"]


def test_a_file_that_changes_between_its_pieces_is_no_mixture(stored, pieces):
    def changed(piece: bytes) -> bytes:
        any_path(URL).write_bytes(CONTENT[::-1])
        return piece

    stored.script += [("cat_file", "file.bin", changed)]
    with pytest.raises(OSError, match="the file was changed while it was read"):
        any_path(URL).read_bytes()
    assert any_path(URL).read_bytes() == CONTENT[::-1]


def test_a_small_file_that_was_replaced_meanwhile_is_read_as_it_is_now(stored):
    def replaced(known: dict) -> dict:
        any_path(URL).write_bytes(b"new")
        return known

    stored.script += [("info", "file.bin", lambda known: known), ("info", "file.bin", replaced)]
    assert any_path(URL).read_bytes() == b"new"


def test_bytes_that_are_not_the_stores(stored, pieces):
    """Google's stores tell a CRC-32C of each object."""
    stored.script += [("info", "file.bin", lambda known: known | {"crc32c": "AAAAAA=="})]
    with pytest.raises(OSError, match="CRC-32C"):
        any_path(URL).read_bytes()


def test_the_crc_of_google():
    transfers._check({"crc32c": "4waSgw=="}, b"123456789", URL)  # 0xE3069283, the check value of CRC-32C
    with pytest.raises(transfers.ShortError):
        transfers._check({"crc32c": "4waSgw=="}, b"123456788", URL)


def test_empty_files(stored, pieces):
    any_path(URL).write_bytes(b"")
    assert any_path(URL).read_bytes() == b""


# ---------------------------------------------------------------------------------------------------------- writing


def test_writing_is_tried_again_and_compared(stored):
    stored.script += [
        ("pipe_file", "file.bin", StatusError(503)),
        ("info", "file.bin", lambda known: known | {"size": 1}),
    ]
    any_path(URL).write_bytes(b"other")
    assert any_path(URL).read_bytes() == b"other"
    assert [name for name, _ in stored.calls][:5] == ["pipe_file", "pipe_file", "info", "pipe_file", "info"]


def test_writing_that_is_refused(stored):
    stored.script += [("pipe_file", "file.bin", StatusError(403))]
    with pytest.raises(PermissionError):
        any_path(URL).write_bytes(b"other")
    assert any_path(URL).read_bytes() == CONTENT


def test_deleting_again_is_no_error(stored):
    def lost(done: None) -> None:
        raise ConnectionResetError(104, "the answer was lost")

    stored.script += [("rm_file", "file.bin", lost)]
    any_path(URL).unlink()
    assert not any_path(URL).exists()


# --------------------------------------------------------------------------------------------------------- patience


def test_waits_grow_to_an_end():
    patience = Patience(attempts=9, first_wait_seconds=0.5, longest_wait_seconds=20)
    assert [patience.wait_seconds(attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_waits_are_drawn_between_nothing_and_the_longest(monkeypatch):
    waits, now = [], [0.0]
    monkeypatch.setattr(transfers, "PATIENCE", Patience(attempts=200, total_seconds=1e9))
    monkeypatch.setattr(transfers.time, "sleep", waits.append)
    monkeypatch.setattr(transfers.time, "monotonic", lambda: now[0])
    with pytest.raises(OSError, match="200 times"):
        patiently("fake", URL, fails)
    late = waits[10:]
    assert len(waits) == 199 and 0 <= min(late) < 3 and 17 < max(late) <= 20 and waits[0] <= 0.5


def test_total_time_is_bounded(monkeypatch):
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(transfers, "PATIENCE", Patience(attempts=10_000, total_seconds=60))
    monkeypatch.setattr(transfers.time, "sleep", sleep)
    monkeypatch.setattr(transfers.time, "monotonic", lambda: now[0])
    with pytest.raises(OSError, match="503"):
        patiently("fake", URL, fails)
    assert now[0] <= 60


def fails() -> None:
    raise StatusError(503)


def test_errors_of_corolla_go_through():
    def refuse() -> None:
        raise WishError("no such scheme")

    with pytest.raises(WishError, match="no such scheme"):
        patiently("fake", URL, refuse)


def test_the_training_s_random_numbers_are_left_alone(stored):
    import random

    random.seed(3)
    wanted = random.random()
    random.seed(3)
    stored.script += [("cat_file", "file.bin", StatusError(503))]
    any_path(URL).read_bytes()
    assert random.random() == wanted
