"""One HTML file that needs no other: photos inside it, light and dark, no script.

Takes: a title, and sections made of the pieces here. Gives: the bytes of the page. All text is escaped here; pieces
are `Markup`, and nothing else is put in as it is.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1d211c; --paper: #fbfaf7; --dim: #6a7066; --line: #d9d8d0; --mark: #a8326e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e2; --paper: #171916; --dim: #9aa095; --line: #3a3d37; --mark: #ef8fbc } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .3rem 0 .8rem; max-width: 48rem } .dim { color: var(--dim) } .mark { color: var(--mark); font-weight: 600 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal } th { color: var(--dim); font-weight: 500 }
.grid { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; font-size: .8rem; line-height: 1.35 } figure img { display: block; border-radius: 4px }
.pair { display: flex; flex-wrap: wrap; gap: 2px }
figcaption { margin-top: .25rem; width: 0; min-width: 100%; overflow-wrap: anywhere }
svg { max-width: 100%; height: auto } .scroll svg { max-width: none; display: block }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif }
.bar { fill: var(--mark) } .soft { fill: var(--dim) }
""".strip()


class Markup(str):
    """HTML that is well formed and safe."""


def text(written: object) -> Markup:
    """Anything as text."""
    return Markup(html.escape(str(written).encode("utf-8", "backslashreplace").decode(), quote=True))


def element(tag: str, *inside: object, kind: str = "") -> Markup:
    """An element around pieces and texts. kind: its class."""
    content = "".join(each if isinstance(each, Markup) else text(each) for each in inside)
    named = f' class="{html.escape(kind)}"' if kind else ""
    return Markup(f"<{tag}{named}>{content}</{tag}>")


def section(title: str, *pieces: object) -> Markup:
    """A heading with what stands under it."""
    return element("section", element("h2", title), *pieces)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; the first column is a name, the others numbers."""
    head = element("tr", *(element("th", column) for column in columns))
    body = [element("tr", *(element("td", value) for value in row)) for row in rows]
    return element("div", element("table", element("thead", head), element("tbody", *body)), kind="scroll")


def photo(image: NDArray[np.uint8], side: int, told: str) -> Markup:
    """A photo uint8[h, w, 3] in a square of `side` px, inside the page. told: what is read out in its place."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    width, height = picture.size
    return Markup(f'<img src="data:image/jpeg;base64,{data}" alt="{text(told)}" width="{width}" height="{height}">')


def figure(photos: Sequence[Markup], *caption: object) -> Markup:
    """Photos side by side, with lines under them."""
    lines = [element("div", line) for line in caption]
    return element("figure", element("div", *photos, kind="pair"), element("figcaption", *lines))


def grid(figures: Iterable[Markup]) -> Markup:
    """Figures in rows."""
    return element("div", *figures, kind="grid")


def bars(values: Sequence[float], names: Sequence[str], width: int = 900) -> Markup:
    """A horizontal bar for each value, with its name and number: SVG."""
    step, left, most = 15, 190, max([*values, 1e-12])
    rows = []
    for i, (value, name) in enumerate(zip(values, names, strict=True)):
        length, y = (width - left - 60) * value / most, i * step
        rows.append(
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{text(name)}</text>'
            f'<rect class="bar" x="{left}" y="{y + 2}" width="{length:.1f}" height="{step - 4}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 11}">{value:,g}</text>'
        )
    box = f'viewBox="0 0 {width} {step * len(values) + 4}" width="{width}" height="{step * len(values) + 4}"'
    return Markup(f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>{"".join(rows)}</svg>')


def page(title: str, *pieces: object) -> bytes:
    """The whole file."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>\n{_STYLE}\n</style></head>\n"
    )
    return (head + element("body", element("h1", title), *pieces) + "</html>\n").encode()
