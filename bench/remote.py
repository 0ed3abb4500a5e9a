"""Reading a split from stores on loopback against the disk: what the way through fsspec costs, network aside.

    python bench/remote.py ../shared/data/flowers104-224 [--delay 0.05]

Wants gcsfs, s3fs, aiohttp, `moto[server]`, gcp-storage-emulator. The servers run on this machine's cores, beside
the reader, and are no figure of any real store; --delay adds so many seconds to each answer, as a distant store would.
"""

import argparse
import functools
import http.server
import logging
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corolla.images import load_split
from corolla.records.shards import find_split
from corolla.storage import any_path, stores
from fake_store import upload


class Ranged(http.server.SimpleHTTPRequestHandler):
    """Python's web server, with an answer that may be late."""

    delay_seconds = 0.0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(self.delay_seconds)
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve_folder(folder: Path, delay_seconds: float) -> str:
    handler = type("Delayed", (Ranged,), {"delay_seconds": delay_seconds})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def serve_google() -> str:
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    running = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    running.start()
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{running._api._httpd.socket.getsockname()[1]}"
    os.environ["FSSPEC_GS_TOKEN"] = "anon"
    return "gs://bucket"


def serve_amazon() -> str:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    running = ThreadedMotoServer("127.0.0.1", 0)
    running.start()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{running._server.server_port}"
    stores.call("s3", "mkdir", "s3://bucket", seconds=10)
    return "s3://bucket"


def timed(where: str, split: str) -> None:
    for turn in range(2):
        begin = time.perf_counter()
        photos = load_split(find_split(any_path(where), split), labels="maybe")
        seconds = time.perf_counter() - begin
        print(f"{where.split(':')[0]:12} {split:6} {len(photos):6} photos  {seconds:6.2f} s  (turn {turn + 1})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    asked = parser.parse_args()
    google = serve_google()
    import fsspec

    fsspec.config.set_conf_env(fsspec.config.conf)
    places = [str(asked.data), serve_folder(asked.data, asked.delay), upload(asked.data, f"{google}/data")]
    places.append(upload(asked.data, f"{serve_amazon()}/data"))
    for split in ("val", "train"):
        for where in places:
            timed(where, split)


if __name__ == "__main__":
    main()
