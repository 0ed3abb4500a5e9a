"""Hundreds of bodies that no honest client sends; `fuzz.py` sends thousands to any server."""

import fuzz
from live import fake, photo, running

from corolla.config import ServeLimits

__all__ = ["fake"]

COUNT = 320


def test_no_body_brings_the_server_down(fake):
    with running(ServeLimits(upload_seconds=1)) as client:
        found = fuzz.bear(str(client.base_url), range(COUNT))
        assert not found.faults, found.faults
        assert sum(found.statuses.values()) == COUNT and found.statuses[200] > COUNT / 10
        assert {408, 413, 415, 422} <= set(found.statuses)
        assert found.health_answers > 5 and found.slowest_health_seconds < 30
        assert client.service().places.taken == 0 and client.service().room.taken == 0
        assert client.post("/v1/identify", content=photo()).status_code == 200
