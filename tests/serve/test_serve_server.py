"""The server as a process and on the wire: slow and lost clients, signals, what it refuses to start with."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest
from live import fake, photo, raw, running

from corolla import shipped
from corolla.cli import main
from corolla.config import ServeLimits
from corolla.errors import RunError
from corolla.serve import server, service

__all__ = ["fake"]

POST = b"POST /v1/identify HTTP/1.1\r\nHost: x\r\n"


def answer_on(connection):
    """All that comes until the server closes."""
    connection.settimeout(30)
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def test_a_body_that_comes_in_drops(fake):
    with running(ServeLimits(upload_seconds=0.5)) as client:
        with raw(client) as slow:
            slow.sendall(POST + b"Content-Length: 1000\r\n\r\n")
            for _ in range(3):
                slow.sendall(b"x")
                time.sleep(0.1)
                assert client.get("/health").status_code == 200
            told = answer_on(slow)
        assert told.startswith(b"HTTP/1.1 408 ") and b"the body did not arrive within 0.5 s" in told
        assert client.service().room.taken == 0


@pytest.mark.parametrize("drops", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX: "], ids=["none", "line", "header"])
def test_headers_that_come_in_drops(fake, monkeypatch, drops):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    with running() as client, raw(client) as slow:
        begin = time.monotonic()
        slow.sendall(drops)
        closed = threading.Event()

        def drip():
            while not closed.wait(0.1):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        if drops:
            dripping.start()
        assert answer_on(slow).startswith(b"HTTP/1.1 408 ")
        closed.set()
        assert time.monotonic() - begin < 20


def test_a_second_request_whose_headers_come_in_drops(fake, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    with running() as client, raw(client) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        assert b"HTTP/1.1 408 " in answer_on(slow)


@pytest.mark.parametrize("head", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX: "], ids=["address", "header"])
def test_headers_without_end(fake, head):
    with running() as client, raw(client) as long:
        long.sendall(head + bytes(40_000).replace(b"\0", b"x"))
        assert client.get("/health").status_code == 200
        long.sendall(bytes(40_000).replace(b"\0", b"x"))
        assert answer_on(long).startswith(b"HTTP/1.1 431 ")


def test_requests_in_a_row_in_pieces_of_any_size(fake):
    """Many short heads are no long one, wherever the pieces begin."""
    one = b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + bytes(1000).replace(b"\0", b"x") + b"\r\n\r\n"
    count = 200
    with running() as client:
        for size in (3_000, 65_536, 10**6):
            with raw(client) as row:
                row.settimeout(30)
                sender = threading.Thread(target=lambda row=row, size=size: send_in_pieces(row, one * count, size))
                sender.start()
                told = b""
                while told.count(b'{"status":"ok"}') < count and (part := row.recv(65_536)):
                    told += part
                sender.join()
                assert told.count(b"HTTP/1.1 200 ") == count and b"431" not in told


def send_in_pieces(connection, content, size):
    for first in range(0, len(content), size):
        connection.sendall(content[first : first + size])


def test_a_gigabyte_that_is_announced(fake):
    with running() as client, raw(client) as large:
        large.sendall(POST + b"Content-Length: 1000000000\r\n\r\n" + bytes(100_000))
        large.shutdown(socket.SHUT_WR)
        told = answer_on(large)
        assert told.startswith(b"HTTP/1.1 413 ") and b"connection: close" in told.lower()
        assert client.get("/health").status_code == 200


def test_who_sends_a_large_body_sees_why_it_is_refused(fake):
    with running(ServeLimits(max_megabytes=0.1)) as client:
        for body in (bytes(5_000_000), iter([bytes(1_000_000)] * 5)):
            answer = client.post("/v1/identify", content=body)
            assert answer.status_code == 413 and "larger than 0.1 MB" in answer.json()["error"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: ten\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["negative length", "length in words", "no chunk", "TLS", "long header", "odd path"],
)
def test_what_is_no_http(fake, request_bytes):
    with running() as client, raw(client) as broken:
        broken.sendall(request_bytes)
        broken.shutdown(socket.SHUT_WR)
        told = answer_on(broken)
        assert told == b"" or 400 <= int(told.split()[1]) < 500
        assert client.get("/health").status_code == 200


def test_no_head_brings_the_server_down(fake):
    """Requests with bytes changed, lost, doubled: an answer that is no fault of the server, or the end."""
    body = photo()
    whole = POST + f"Content-Length: {len(body)}\r\nContent-Type: image/jpeg\r\nX: y\r\n\r\n".encode()
    random = Random(0)
    with running() as client:
        for _ in range(250):
            head = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                at = random.randrange(len(head))
                head[at : at + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
            with raw(client) as broken:
                broken.sendall(bytes(head) + body)
                broken.shutdown(socket.SHUT_WR)
                told = answer_on(broken)
            assert not told or (told.startswith(b"HTTP/1.1 ") and int(told.split()[1]) < 500), bytes(head)
        assert client.post("/v1/identify", content=body).status_code == 200
        assert client.service().places.taken == 0 and client.service().room.taken == 0


def test_clients_that_go_leave_nothing_behind(fake):
    fake.seconds = 0.2
    body = photo()
    with running() as client:
        for _ in range(40):
            with raw(client) as lost:
                lost.sendall(POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        for _ in range(10):
            with raw(client) as lost:
                lost.sendall(POST + b"Content-Length: 10000\r\n\r\n" + body[:100])
        assert client.post("/v1/identify", content=body).status_code == 200
        for _ in range(100):
            if not (client.service().places.taken or client.service().room.taken):
                break
            time.sleep(0.05)
        assert client.service().places.taken == 0 and client.service().room.taken == 0
        assert sum(client.service().engine.batches) < 40, "nobody waits for these answers"


def test_a_thousand_connections_at_once(fake):
    """Each has an answer, and /health answers in between."""
    body, count = photo(), 1000
    with running(ServeLimits(max_connections=900)) as client:

        def one(_):
            try:
                with raw(client) as connection:
                    connection.sendall(
                        POST + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
                    )
                    return answer_on(connection).split()[1]
            except OSError:
                return b"reset"

        opened = [raw(client) for _ in range(890)]
        with ThreadPoolExecutor(100) as many:
            found = list(many.map(one, range(count - 890)))
        for connection in opened:
            connection.close()
        assert set(found) <= {b"200", b"429", b"503"} and found.count(b"503") > 50
        for _ in range(100):
            if len(client.server.server_state.connections) < 50:
                break
            time.sleep(0.05)
        with ThreadPoolExecutor(100) as many:
            found = list(many.map(one, range(400)))
        assert set(found) <= {b"200", b"429", b"503"} and found.count(b"200") > 50
        assert client.get("/health").status_code == 200


# Starting and stopping --------------------------------------------------------------------------------------------


def told(capsys, *words):
    """What a command prints, its errors and its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return *capsys.readouterr(), end.value.code


def test_a_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        out, error, code = told(capsys, "serve", "--port", port)
    line = f"corolla: port {port} of 127.0.0.1 is in use: choose another --port\n"
    assert (out, error, code) == ("", line, 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: there is no such address on this machine"),
        (["--port", "70000"], "--port 70000: must be 0 to 65535"),
        (["--max-megabytes", "0"], "--max-megabytes 0.0: must be more than 0"),
        (["--api-key-file", "/nowhere/key"], "--api-key-file /nowhere/key: cannot be read"),
    ],
)
def test_wishes_that_make_no_sense(capsys, words, line):
    assert told(capsys, "serve", *words) == ("", f"corolla: {line}\n", 2)


def test_keys_that_are_none(capsys, tmp_path, monkeypatch):
    (tmp_path / "key").write_text("two words\n")
    assert told(capsys, "serve", "--api-key-file", tmp_path / "key")[1].endswith(
        "holds no key: one line without spaces\n"
    )
    monkeypatch.setenv("COROLLA_API_KEY", "short")
    assert told(capsys, "serve", "--port", 0)[1:] == (
        "corolla: the key is shorter than 16 characters: it could be guessed\n",
        2,
    )


def test_a_model_that_is_missing_or_tampered_with(capsys, monkeypatch, tmp_path):
    out, error, code = told(capsys, "serve", "--port", 0, "--run", tmp_path / "nothing")
    assert (out, code) == ("", 1) and "is no run folder" in error and error.count("\n") == 1
    copy = tmp_path / "own"
    shutil.copytree(shipped.folder(), copy)
    content = bytearray((copy / shipped.FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / shipped.FILE).write_bytes(content)
    monkeypatch.setattr(shipped, "folder", lambda: copy)
    out, error, code = told(capsys, "serve", "--port", 0)
    assert (out, code) == ("", 1) and error.endswith(
        "its SHA-256 is not the one in flowers104.npz.sha256: install Corolla anew\n"
    )
    assert error.count("\n") == 1


def test_a_model_that_cannot_be_built_ends_the_server(fake, monkeypatch):
    def broken(found):
        raise RunError("the model is built otherwise")

    monkeypatch.setattr(service, "Engine", broken)
    monkeypatch.setattr(server, "find", lambda run: None)
    with pytest.raises(RunError, match=r"^the model is built otherwise$"):
        server.serve(port=0)


@pytest.fixture
def process(finished, tmp_path):
    """The command on a copy of a run: its process, its address, the copy."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    words = [sys.executable, "-m", "corolla.cli", "serve", "--run", str(run), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield started, started.stdout.readline().strip(), run
    finally:
        started.kill()
        started.communicate()


def test_the_command_from_start_to_end(process):
    """A run is served; SIGHUP keeps the model while it is broken; SIGTERM lets what is in work finish; exit 0."""
    started, address, run = process
    body = photo()
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        assert client.get("/ready").json() == {"status": "ready", "model": "run"}
        before = client.post("/v1/identify", content=body).json()
        assert before["unknown"] is None and len(before["top"]) == 5
        map_of = client.post("/v1/identify?saliency=1&top=1", content=body).json()["saliency"]
        assert map_of.startswith("data:image/webp;base64,")
        whole = (run / "labels.json").read_bytes()
        (run / "labels.json").write_text("{")
        started.send_signal(signal.SIGHUP)
        wait_for(lambda: 'corolla_reloads_total{result="failed"} 1' in client.get("/metrics").text)
        assert client.post("/v1/identify", content=body).json() == before
        (run / "labels.json").write_bytes(whole)
        started.send_signal(signal.SIGHUP)
        wait_for(lambda: 'corolla_reloads_total{result="done"} 1' in client.get("/metrics").text)
        assert client.post("/v1/identify", content=body).json() == before
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as last:
        last.sendall(POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:100])
        time.sleep(0.3)
        started.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        last.sendall(body[100:])
        assert answer_on(last).startswith(b"HTTP/1.1 200 ")
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 0, errors
    assert "the model in use stays: " in errors and "Traceback" not in errors


def wait_for(condition):
    """Until it holds."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never did")
