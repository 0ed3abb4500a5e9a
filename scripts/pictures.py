"""Makes the pictures of docs/: a rendered sample, a short run on it, and its report as Chromium shows it.

Takes: nothing but a folder for the data and the run. Gives: docs/pictures/report.png; only rendered flowers are in it.

    python scripts/pictures.py /tmp/pictures       # some minutes on two cores; what is in the folder already is used

Wants Playwright and an installed Chromium (`tests/browser.py` finds it), as the tests of pages do.
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

from corolla.config import TrainSettings
from corolla.report import report
from corolla.run import RunFolder
from corolla.sample import write_sample
from corolla.train import train

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import browser, refuse_network  # noqa: E402

IMAGES, IMAGE_SIZE, EPOCHS = 600, 160, 2
WIDTH_PX, HEIGHT_PX = 1180, 1060
SECTIONS = ("top", "matrix", "mistakes")
"""What is shown of the page, side by side: its top, and two sections."""
MOST_BYTES = 400_000


def made(folder: Path) -> Path:
    """The report on a run on a sample, with what is missing in the folder."""
    data, run, out = folder / "sample", folder / "sample-run", folder / "report.html"
    if not data.exists():
        write_sample(data, image_size=IMAGE_SIZE, images=IMAGES)
    if not RunFolder(run).finished():
        train(data, run, TrainSettings(image_size=IMAGE_SIZE, epochs=EPOCHS))
    report([run], data, out)
    return out


def shots(path: Path) -> list[Image.Image]:
    """The parts of the page."""
    found = []
    with browser() as started:
        page = started.new_page(color_scheme="light", viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        refuse_network(page)
        page.goto(path.resolve().as_uri())
        for section in SECTIONS:
            page.evaluate("name => (document.getElementById(name) ?? document.body).scrollIntoView()", section)
            page.wait_for_timeout(1000)
            found.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return found


def written(parts: list[Image.Image], out: Path) -> Path:
    """The parts in one picture of 256 colours, half as large as they were."""
    whole = Image.new("RGB", (WIDTH_PX * len(parts), HEIGHT_PX), "white")
    for place, part in enumerate(parts):
        whole.paste(part, (place * WIDTH_PX, 0))
    small = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
    small.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    assert out.stat().st_size < MOST_BYTES, f"{out} takes {out.stat().st_size:,} bytes"
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    print(written(shots(made(parser.parse_args().folder)), ROOT / "docs" / "pictures" / "report.png"))
