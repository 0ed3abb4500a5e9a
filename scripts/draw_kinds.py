"""Makes the small drawings of the kinds that the page of `corolla serve` shows beside their names.

Takes: nothing. Gives: src/corolla/serve/page/drawings/LABEL.webp: the tiles of the sample's contact sheet, which is
docs/pictures/sample.jpg; the largest and the sum of the sizes are printed.

    python scripts/draw_kinds.py
"""

from PIL import Image

from corolla import classes
from corolla.sample import contact_sheet
from corolla.serve.api import PAGE

SIDE, COLUMNS, QUALITY = 112, 13, 68


def main() -> None:
    folder, sizes = PAGE / "drawings", []
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Image.fromarray(contact_sheet(side=SIDE, columns=COLUMNS))
    for label in range(classes.COUNT):
        left, top = label % COLUMNS * SIDE, label // COLUMNS * SIDE
        path = folder / f"{label:03d}.webp"
        sheet.crop((left, top, left + SIDE, top + SIDE)).save(path, "WEBP", quality=QUALITY, method=6)
        sizes.append(path.stat().st_size)
    print(f"{folder}: {len(sizes)} drawings, {sum(sizes):,} bytes, the largest {max(sizes):,}")


if __name__ == "__main__":
    main()
