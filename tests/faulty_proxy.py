"""A proxy on loopback that, by script, refuses, resets, cuts, shortens, stalls and delays what it passes on."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass
class Proxy:
    """What it does: script is (method, part of the path, fault) in order, each met once; log is what was asked.

    fault: a status such as "503"; "reset" (half of the body, then the connection is torn), "cut" (the same, closed
    politely), "short" (half of the body, declared as all of it), "stall" (half of the body, then silence until the
    client goes), "delay" (half a second later).
    """

    url: str
    script: list[tuple[str, str, str]] = field(default_factory=list)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str, wanted_range: str) -> str:
        with self.lock:
            self.log.append((method, path, wanted_range))
            for line in self.script:
                if line[0] == method and line[1] in path:
                    self.script.remove(line)
                    return line[2]
        return ""


class Handler(BaseHTTPRequestHandler):
    """Passes one request on, with what the script says."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def pass_on(self) -> None:
        fault = self.server.proxy.fault(self.command, self.path, self.headers.get("Range", ""))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault.isdigit():
            self.answer(int(fault), [], b"not now")
            return
        if fault == "delay":
            time.sleep(0.5)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, timeout=60)
        upstream.request(self.command, self.path, sent, dict(self.headers.items()))
        answer = upstream.getresponse()
        body, headers = answer.read(), answer.getheaders()
        upstream.close()
        self.answer(answer.status, headers, body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = pass_on  # noqa: N815

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: str = "") -> None:
        part = body[: len(body) // 2] if fault in ("reset", "cut", "short", "stall") else body
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        of_head = next((value for name, value in headers if name.lower() == "content-length"), None)
        declared = len(part) if fault == "short" else len(body)
        self.send_header("Content-Length", of_head if self.command == "HEAD" and of_head else str(declared))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(part)
        self.wfile.flush()
        if fault in ("reset", "cut", "stall"):
            self.hang_up(fault)

    def hang_up(self, fault: str) -> None:
        if fault == "stall":
            self.server.closing.wait(20)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """One thread a connection; a client that has gone is no error: that is what this is for."""

    daemon_threads = True

    def __init__(self, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream_port, self.closing = upstream_port, threading.Event()
        self.proxy = Proxy(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def proxied(upstream_port: int) -> Iterator[Proxy]:
    """A proxy before a server on 127.0.0.1."""
    server = Server(upstream_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.proxy
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
