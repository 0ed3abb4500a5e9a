"""How many photos a second `corolla serve` names, beside what `corolla predict` does without it.

Takes: a run, data of its image size. Gives: lines of figures, and `--json FILE`: images/s offline and
of many parallel clients, the latency they see, answers by status, the server's memory.

    python bench/serve.py --data DATA [--run RUN] [--clients 64] [--seconds 60] [--json FILE]

Both read the same JPEGs, from records and as bodies of requests. The clients are bare sockets
in this process; their work is done by the same cores, and counts against the server.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

OFFLINE = """
import dataclasses, json, sys, time
from corolla.compiled import keep
from corolla.inference import make_predictor, values_of
from corolla.judge import Frame, feed_of, read_photos
from corolla.mesh import mesh_for
from corolla.network import feature_model
from corolla.reporter import SILENT
from corolla.serve.engine import find
from corolla.storage import any_path

run, data, rounds, most = json.loads(sys.argv[1])
keep()
found, batch_size = find(run), 32
mesh = mesh_for(batch_size)
model = found.build(mesh)
frame = Frame(found.image_size, batch_size, len(found.namer.names))
predictor, values = make_predictor(model, mesh, frame.image_size), values_of(model)
seconds = []
for _ in range(rounds + 1):  # the first compiles
    begin, worked = time.perf_counter(), time.process_time()
    photos = read_photos(any_path(data), "val", frame, mesh, "fail", True, SILENT)[1]
    read, reading = (time.perf_counter() - begin) / len(photos), (time.process_time() - worked) / len(photos)
    some = dataclasses.replace(photos, images=photos.images[:most], labels=photos.labels[:most], ids=photos.ids[:most])
    begin, worked = time.perf_counter(), time.process_time()
    predictor(values, feed_of(some, frame, mesh))
    taken = (time.perf_counter() - begin) / len(some), (time.process_time() - worked) / len(some)
    seconds.append((read + taken[0], reading + taken[1]))
print(json.dumps(seconds[1:]))
"""
"""What `corolla predict` does once its program is compiled: read the records, decode them, run the predict step."""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], number: int, until: float, seen: Seen) -> None:
        self.requests, self.number, self.until, self.seen = requests, number, until, seen
        self.told, self.ended = b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.begin = time.perf_counter()
        self.transport.write(self.requests[self.number % len(self.requests)])
        self.number += 1

    def data_received(self, data: bytes) -> None:
        self.told += data
        head, found, body = self.told.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        now, status = time.perf_counter(), int(head[9:12])
        self.told = b""
        self.seen.statuses[status] += 1
        self.seen.seconds.append(now - self.begin)
        if now < self.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(exc)


async def _clients(address: str, requests: list[bytes], count: int, seconds: float) -> Seen:
    host, port = address.removeprefix("http://").split(":")
    seen, until = Seen(), time.perf_counter() + seconds
    step, loop = max(1, len(requests) // count), asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda i=i: _Client(requests, i * step, until, seen), host, int(port))
        for i in range(count)
    ]
    await asyncio.gather(*(client.ended for _, client in made))
    return seen


def _ask(*arguments: Any) -> Seen:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_clients(*arguments))


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _worked(pid: int) -> float:
    """Seconds of the processor's time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _offline(run: str | None, data: Path, rounds: int, most: int) -> tuple[float, float]:
    """Images a second, and the processor's time for one [ms]."""
    told = json.dumps([run, str(data), rounds, most])
    done = subprocess.run([sys.executable, "-c", OFFLINE, told], capture_output=True, text=True, check=True)
    seconds, worked = np.median(json.loads(done.stdout.splitlines()[-1]), axis=0)
    return 1 / float(seconds), 1000 * float(worked)


def _served(run: str | None, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    words = [sys.executable, "-m", "corolla.cli", "serve", "--port", "0", *(["--run", run] if run else [])]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout
        address = server.stdout.readline().strip()
        _ask(address, requests, clients, min(5, seconds))  # pools and caches are warm after it
        before, begin = _resident_mb(server.pid), time.perf_counter()
        worked, own = _worked(server.pid), time.process_time()
        seen = _ask(address, requests, clients, seconds)
        took, after = time.perf_counter() - begin, _resident_mb(server.pid)
        worked, own = _worked(server.pid) - worked, time.process_time() - own
    finally:
        server.terminate()
        server.wait(60)
    return {
        "images_per_second": seen.statuses[200] / took,
        "statuses": {str(status): count for status, count in sorted(seen.statuses.items())},
        "p50_ms": 1000 * float(np.percentile(seen.seconds, 50)),
        "p99_ms": 1000 * float(np.percentile(seen.seconds, 99)),
        "processor_ms_per_photo": {
            "server": 1000 * worked / len(seen.seconds),
            "clients": 1000 * own / len(seen.seconds),
        },
        "rss_mb": [round(before), round(after)],
    }


def _requests(data: Path) -> list[bytes]:
    from corolla.records.shards import find_split, read_split
    from corolla.storage import any_path

    photos = [bytes(one.example.image) for one in read_split(find_split(any_path(str(data)), "val"), labels="need")]
    head = "POST /v1/identify HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(photo)).encode() + photo for photo in photos]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", help="run folder; by default the model inside the package")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="offline, before and after the server")
    parser.add_argument("--photos", type=int, default=10_000, help="predicted in a round, at most")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    requests = _requests(wish.data)
    before = _offline(wish.run, wish.data, wish.rounds, wish.photos)
    found = _served(wish.run, requests, wish.clients, wish.seconds)
    after = _offline(wish.run, wish.data, wish.rounds, wish.photos)
    rates, worked = zip(before, after, strict=True)
    found["processor_ms_per_photo"]["offline"] = sum(worked) / 2
    found |= {"offline_images_per_second": rates, "ratio": 2 * found["images_per_second"] / sum(rates)}
    found |= {"clients": wish.clients, "seconds": wish.seconds, "load": os.getloadavg()[0], "cores": os.cpu_count()}
    for name, value in found.items():
        print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")
    if wish.json:
        wish.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
