"""How a request that asks more than `config.ServeLimits` is answered.

Takes: nothing. Gives: `RefusalError`, an answer other than 200 in one line; `Budget`, which keeps count of what is
taken and refuses what is too much.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class RefusalError(Exception):
    """An answer with a status and one line. retry: whether the same request may work in a second."""

    def __init__(self, status: int, line: str, retry: bool = False, headers: dict[str, str] | None = None) -> None:
        super().__init__(line)
        self.status, self.line = status, line
        self.headers = {**(headers or {}), **({"Retry-After": "1"} if retry else {})}


class Budget:
    """So much may be taken at a time, in all and by one name. For one thread: the event loop's."""

    def __init__(self, most: int, most_each: int | None = None) -> None:
        self.most, self.most_each = most, most_each or most
        self.taken, self._by_name = 0, Counter()

    @contextmanager
    def take(self, amount: int, name: str, what: str) -> Iterator[None]:
        """Hold an amount while this lasts. what: what it is, for the line. Raises RefusalError 429 or 503."""
        if self._by_name[name] + amount > self.most_each:
            line = f"{self._by_name[name]} {what} from your address are in work already: wait for their answers"
            raise RefusalError(429, line, retry=True)
        if self.taken + amount > self.most:
            raise RefusalError(503, f"{self.taken} {what} are in work already: try again in a moment", retry=True)
        self.taken += amount
        self._by_name[name] += amount
        try:
            yield
        finally:
            self.taken -= amount
            self._by_name[name] -= amount
            if not self._by_name[name]:
                del self._by_name[name]
