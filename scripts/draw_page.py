"""Makes docs/pictures/serve.png: the page of `corolla serve` with a drawn photo, no real one.

Takes: an installed Chromium, Playwright (`pip install 'corolla[dev]'`). Gives: the picture; its size is printed.

    python scripts/draw_page.py
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from corolla.sample import paint_photo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import browser  # noqa: E402

OUT = ROOT / "docs" / "pictures" / "serve.png"
PHOTOS = ((49, 5), (13, 2))
"""Labels and seeds."""


def photo(label: int, seed: int) -> dict[str, object]:
    """A drawn photo as a file that is chosen."""
    content = io.BytesIO()
    painted = paint_photo(label, 448, np.random.default_rng([seed, label]))
    Image.fromarray(painted).save(content, "JPEG", quality=92)
    return {"name": f"flower-{label}.jpg", "mimeType": "image/jpeg", "buffer": content.getvalue()}


def main() -> None:
    words = [sys.executable, "-m", "corolla.cli", "serve", "--port", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        address = server.stdout.readline().strip()
        with browser() as started:
            page = started.new_page(viewport={"width": 1000, "height": 800}, reduced_motion="reduce")
            page.goto(address)
            page.set_input_files("#files", [photo(*each) for each in PHOTOS])
            page.wait_for_selector(f".card:nth-child({len(PHOTOS)}) .guesses li", timeout=120_000)
            page.wait_for_selector(".busy", state="detached", timeout=120_000)
            page.click(".card:nth-child(2) .look")
            page.wait_for_selector(".look[aria-pressed=true]", timeout=60_000)
            page.wait_for_timeout(500)
            shot = page.screenshot(full_page=True)
    finally:
        server.terminate()
        server.wait(60)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.save(OUT, optimize=True)
    print(f"{OUT}: {picture.size}, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
