"""What the server counts, as Prometheus reads it.

Takes: calls from the server. Gives: `Figures.text`, in the text format 0.0.4.

Written out by hand, because it is two dozen lines; names of routes are a fixed set, so that no stranger can make up
labels.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32)

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: Labels = ()) -> Iterator[str]:
        """Its lines."""
        for bound, count in zip((*map(str, self.bounds), "+Inf"), accumulate(self.counts), strict=True):
            yield line(f"{name}_bucket", count, (*labels, ("le", bound)))
        yield line(f"{name}_sum", self.sum, labels)
        yield line(f"{name}_count", sum(self.counts), labels)


class Figures:
    """Everything that is counted."""

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        self.seconds: dict[Labels, Histogram] = {}
        self.batches = Histogram(SIZES)
        self.photos: Counter[Labels] = Counter()
        self.reloads: Counter[Labels] = Counter()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests[("route", route), ("status", str(status))] += 1
        self.seconds.setdefault((("route", route),), Histogram(SECONDS)).add(seconds)

    def photo(self, result: str) -> None:
        """Count a photo: named, unknown or refused."""
        self.photos[(("result", result),)] += 1

    def reload(self, result: str) -> None:
        """Count a reload: done or failed."""
        self.reloads[(("result", result),)] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]], model: str) -> str:
        """All of it. gauges: (what it is, value) by name."""
        lines = [
            *_family("corolla_requests_total", "counter", "Requests answered.", _counted(self.requests)),
            *_head("corolla_request_seconds", "histogram", "Time from headers to the last byte of the answer."),
            *(one for labels, each in self.seconds.items() for one in each.lines("corolla_request_seconds", labels)),
            *_head("corolla_batch_photos", "histogram", "Photos that were worked off together."),
            *self.batches.lines("corolla_batch_photos"),
            *_family("corolla_photos_total", "counter", "Photos by result.", _counted(self.photos)),
            *_family("corolla_reloads_total", "counter", "Reloads of the model.", _counted(self.reloads)),
            *_family("corolla_model_info", "gauge", "The model that answers.", [((("model", model),), 1)]),
        ]
        for name, (what, value) in gauges.items():
            lines += _family(name, "gauge", what, [((), value)])
        return "\n".join(lines) + "\n"


def _counted(counter: Counter[Labels]) -> list[tuple[Labels, float]]:
    return list(counter.items())


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def _family(name: str, kind: str, what: str, values: Sequence[tuple[Labels, float]]) -> list[str]:
    return [*_head(name, kind, what), *(line(name, value, labels) for labels, value in values)]


def line(name: str, value: float, labels: Labels = ()) -> str:
    """One sample."""
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{told}}} {value:.12g}" if told else f"{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
