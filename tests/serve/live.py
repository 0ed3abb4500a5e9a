"""What tests of the server share: a model that needs no compiling, photos of one colour, a server on loopback."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from corolla import classes
from corolla.config import ServeLimits
from corolla.naming import Namer
from corolla.open_set import Known, OpenSet
from corolla.reporter import SILENT
from corolla.serve import service
from corolla.serve.api import make_app
from corolla.serve.engine import Found
from corolla.serve.server import _config, _listening, _Server

SIDE = 32
NAMES = {"red": "common tulip", "green": "artichoke", "blue": "monkshood"}
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220), "grey": (128, 128, 128)}


def photo(colour: str = "red", side: int = 64, kind: str = "JPEG", **how: Any) -> bytes:
    """A photo of one colour."""
    content = io.BytesIO()
    Image.new("RGB", (side, side), COLOURS[colour]).save(content, kind, **how)
    return content.getvalue()


def namer() -> Namer:
    """All kinds; what no logit speaks for is none of them."""
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    return Namer(list(classes.NAMES), 1.0, OpenSet("largest probability", 0.3, Known.of(features, np.arange(8) % 2)))


class FakeEngine:
    """Names photos by their colour; grey is no kind. seconds: what a batch takes; broken: whether it fails."""

    most, image_size = 8, SIDE
    seconds, broken = 0.0, False

    def __init__(self, found: Any = None, name: str = "fake") -> None:
        self.found, self.namer, self.batches = Found(name, SIDE, namer(), lambda mesh: None, None), namer(), []  # pyright: ignore

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert images.shape[1:] == (SIDE, SIDE, 3) and len(images) <= self.most
        self.batches.append(len(images))
        time.sleep(self.seconds)
        if self.broken:
            raise RuntimeError("the device is gone")
        logits = np.zeros((len(images), classes.COUNT), np.float32)
        for row, mean in zip(logits, images.mean(axis=(1, 2)), strict=True):
            if mean.max() - mean.min() > 50:
                row[classes.NAMES.index(list(NAMES.values())[int(mean.argmax())])] = 8
        return np.zeros((len(images), 4), np.float32), logits


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    """Every service made from now on has a `FakeEngine`; a class of its own, whose settings may be changed."""
    kind = type("FakeEngine", (FakeEngine,), {})
    monkeypatch.setattr(service, "Engine", kind)
    monkeypatch.setattr(service, "find", lambda run: None)
    return kind


class Client(httpx.Client):
    """A client that knows its server's insides."""

    server: Any = None

    def service(self) -> service.Service:
        """The one behind the addresses."""
        return self.server.app.state.service


@contextmanager
def running(
    limits: ServeLimits | None = None, key: str | None = None, run: Path | None = None, wait: bool = True
) -> Iterator[Client]:
    """A real server on loopback; a client for it. wait: until its model answers."""
    limits = limits or ServeLimits()
    ready = threading.Event()
    with _listening("127.0.0.1", 0) as listener:
        app = make_app(run, limits, key, None, lambda error: ready.set())
        server = _Server(_config(app, limits), app, SILENT)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        host, port = listener.getsockname()
        with Client(base_url=f"http://{host}:{port}", timeout=60, trust_env=False) as client:
            client.server = server
            while not server.started:
                time.sleep(0.005)
            assert not wait or ready.wait(300)
            yield client
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def raw(client: httpx.Client) -> socket.socket:
    """A bare connection to a client's server."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)
