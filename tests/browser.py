"""A real browser for tests of pages: Debian's Chromium, driven by Playwright; nothing is downloaded.

Gives: `browser`, a context with a Playwright `Browser`; `missing`, why there is none, for `pytest.skip`;
`refuse_network`, after which a page reaches no host; `serious`, what axe-core finds.
"""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
"""Without a sandbox, because containers forbid the one that Chromium would make; pages of tests are our own."""

PATIENCE_MS = 120_000
"""What a page may take for anything: on busy machines seconds become minutes, and that is no fault of the page."""


def found() -> str | None:
    """The browser's path."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def missing() -> str | None:
    """Why no browser can be started; None where one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (pip install 'corolla[dev]')"
    return None if found() else "no Chromium is installed (apt-get install chromium)"


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """A Chromium without a window. flags: more of them."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=found(), args=[*FLAGS, *flags])
        try:
            yield started
        finally:
            started.close()


def refuse_network(page: Any) -> list[str]:
    """Let a page have files and data alone; returns the list that the addresses of refused requests are put into."""
    asked: list[str] = []

    def answer(route: Any) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", answer)
    return asked


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical in a page: one line each, naming the rule and the first elements."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']} ({len(each['nodes'])} times, first {each['nodes'][0]['html'][:200]})"
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]
