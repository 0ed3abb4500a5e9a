"""Bodies that no honest client sends, and how the server bears them.

Gives: `body`, the n-th of which is always the same; `bear`, which sends them to a server and says what came back.

    python tests/serve/fuzz.py http://127.0.0.1:8000 --count 2000     # against a server that runs
"""

import argparse
import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import httpx
from PIL import Image

ANSWERS = {200, 400, 408, 413, 415, 422, 429, 503}
TYPES = (
    "image/jpeg",
    "image/png",
    "application/json",
    "application/octet-stream",
    "text/html",
    "multipart/form-data",
    "",
)


def _photo(random: Random) -> bytes:
    kind = random.choice(("JPEG", "PNG", "WEBP"))
    mode = random.choice(("RGB", "L", "CMYK") if kind == "JPEG" else ("RGB", "RGBA"))
    size, content = (random.randint(1, 90), random.randint(1, 90)), io.BytesIO()
    noise = random.randbytes(size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands()))
    Image.frombytes(mode, size, noise).save(content, kind, quality=random.choice((30, 90)))
    return content.getvalue()


def _truncated(random: Random) -> bytes:
    whole = _photo(random)
    return whole[: random.randrange(len(whole))]


def _flipped(random: Random) -> bytes:
    content = bytearray(_photo(random))
    for _ in range(random.choice((1, 3, 30))):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _spliced(random: Random) -> bytes:
    one, other = _photo(random), _photo(random)
    return one[: random.randrange(len(one))] + other[random.randrange(len(other)) :]


def _noise(random: Random) -> bytes:
    start = random.choice((b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"GIF89a"))
    return start + random.randbytes(random.choice((0, 1, 20, 5_000)))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _bomb(random: Random) -> bytes:
    """A small PNG that says it is large; one in three holds as many zeros as it says, up to 36 million pixels."""
    side = random.choice((2**31 - 1, 65_000, 20_000, 6_000))
    header = struct.pack(">IIBBBBB", side, side, random.choice((1, 8)), 0, 0, 0, 0)
    honest = side == 6_000 and random.random() < 0.34
    content = zlib.compress(bytes((side + 1) * side if honest else 1_000), 1)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _json(random: Random) -> bytes:
    text = base64.b64encode(_flipped(random)).decode()
    told = random.choice(
        (
            [text],
            [text, "", "!!"],
            [text] * random.randint(2, 40),
            {"photos": [text]},
            text,
            [[text]],
            [None],
            [1e308],
            ["data:image/png;base64," + text],
            ["\ud800"],
        )
    )
    content = json.dumps(told).encode()
    return random.choice(
        (content, content[: len(content) // 2], b"[" * 50_000, b"\xef\xbb\xbf" + content, content + b"]")
    )


def _wrong(random: Random) -> bytes:
    return random.choice(
        (b"", b"\0", b"<html></html>", b"%PDF-1.7\n", b"PK\x03\x04", b"{}", b"GIF89a" + bytes(50), bytes(100_000))
    )


MAKERS: tuple[tuple[str, Callable[[Random], bytes]], ...] = (
    ("whole", _photo),
    ("truncated", _truncated),
    ("flipped", _flipped),
    ("spliced", _spliced),
    ("noise", _noise),
    ("bomb", _bomb),
    ("json", _json),
    ("wrong", _wrong),
)
SLOW = 40
"""Every so manieth body comes in drops, and stops in its middle."""


def body(number: int) -> tuple[str, bytes, str]:
    """The number-th body: what was done to it, the bytes, the Content-Type that it comes under."""
    random = Random(number)
    name, make = MAKERS[number % len(MAKERS)]
    content = make(random)
    fitting = {"json": "application/json"}.get(name, "image/jpeg")
    return name, content, fitting if random.random() < 0.8 else random.choice(TYPES)


@dataclass
class Borne:
    """What came back: statuses, of bodies that were sent slowly too; what should not have; the slowest /health."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    health_answers: int = 0
    slowest_health_seconds: float = 0.0


def bear(base: str, numbers: range, at_once: int = 16, patience: float = 120) -> Borne:
    """Send these bodies. A fault: a status out of `ANSWERS`, a refusal of more than a line, silence, a dead /health."""
    found, over = Borne(), threading.Event()

    def one(number: int) -> None:
        name, content, kind = body(number)
        try:
            status, text = _slowly(base, content, kind) if number % SLOW == SLOW - 1 else _sent(client, content, kind)
        except (OSError, httpx.HTTPError) as error:
            found.faults.append(f"{number} ({name}): {error!r}")
            return
        found.statuses[status] += 1
        if status not in ANSWERS or (status != 200 and not _one_line(text)):
            found.faults.append(f"{number} ({name}, {kind}): {status} {text[:200]!r}")

    def watch() -> None:
        with httpx.Client(base_url=base, timeout=patience, trust_env=False) as other:
            while not over.wait(0.05):
                begin = time.perf_counter()
                if other.get("/health").status_code != 200:
                    found.faults.append("/health")
                found.health_answers += 1
                found.slowest_health_seconds = max(found.slowest_health_seconds, time.perf_counter() - begin)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with httpx.Client(base_url=base, timeout=patience, trust_env=False) as client, ThreadPoolExecutor(at_once) as many:
        list(many.map(one, numbers))
    over.set()
    watcher.join()
    return found


def _sent(client: httpx.Client, content: bytes, kind: str) -> tuple[int, str]:
    answer = client.post("/v1/identify", content=content, headers={"Content-Type": kind} if kind else {})
    return answer.status_code, answer.text


def _slowly(base: str, content: bytes, kind: str) -> tuple[int, str]:
    """In drops, half of what was announced; then the client waits for what the server makes of it."""
    url = httpx.URL(base)
    with socket.create_connection((url.host, url.port or 80), timeout=120) as connection:
        told = f"POST /v1/identify HTTP/1.1\r\nHost: x\r\nContent-Type: {kind or 'image/png'}\r\n"
        connection.sendall(f"{told}Content-Length: {2 * len(content) + 10}\r\n\r\n".encode())
        step = max(1, len(content) // 5)
        for first in range(0, len(content), step):
            connection.sendall(content[first : first + step])
            time.sleep(0.05)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    head, _, text = b"".join(parts).partition(b"\r\n\r\n")
    return int(head.split()[1]), text.decode()


def _one_line(text: str) -> bool:
    told = json.loads(text)
    return list(told) == ["error"] and bool(told["error"]) and "\n" not in told["error"] and "Traceback" not in text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", help="address of a server that runs")
    parser.add_argument("--count", type=int, default=2000)
    wish = parser.parse_args()
    begin = time.perf_counter()
    found = bear(wish.base, range(wish.count))
    print(f"{wish.count} bodies in {time.perf_counter() - begin:.0f} s: {dict(sorted(found.statuses.items()))}")
    print(f"/health answered {found.health_answers} times, the slowest after {found.slowest_health_seconds:.2f} s")
    print("\n".join([f"{len(found.faults)} faults", *found.faults[:20]]))


if __name__ == "__main__":
    main()
