"""One HTML file that needs no other: photos inside it, light and dark, on paper too; it reads well without a script.

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
:root { color-scheme: light dark; --ink: #1d211c; --paper: #fbfaf7; --dim: #5f655b; --line: #d9d8d0; --mark: #a8326e;
  --card: #f2f1eb; --c0: #a8326e; --c1: #1f6aa5; --c2: #8a5a00; --c3: #2b7348; --c4: #6a4fb3; --c5: #5f655b }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e2; --paper: #171916; --dim: #a3a99e; --line: #3a3d37; --mark: #ef8fbc; --card: #21241f;
    --c0: #ef8fbc; --c1: #7fbcee; --c2: #e5b45c; --c3: #7fcf9d; --c4: #bba7f2; --c5: #a3a99e } }
* { box-sizing: border-box }
html { scroll-behavior: smooth } @media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto } }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem } a { color: var(--c1) }
p { margin: .3rem 0 .8rem; max-width: 48rem } .dim { color: var(--dim) } .mark { color: var(--mark); font-weight: 600 }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .8rem 0; padding: .5rem 0;
  border-block: 1px solid var(--line) }
.scroll { overflow-x: auto } .tall { max-height: 36rem; overflow: auto }
.tall thead th { position: sticky; top: 0; background: var(--paper) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } caption { text-align: left; color: var(--dim) }
th, td { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { white-space: normal }
th:first-child, td:first-child, .words td, .words th, .sortable :is(th, td):last-child { text-align: left }
th { color: var(--dim); font-weight: 500 }
tbody th { color: var(--ink); font-weight: 400 } .words td { white-space: normal; overflow-wrap: anywhere }
th button { all: unset; cursor: pointer; color: var(--dim) } th button:focus-visible { outline: 2px solid var(--c1) }
th[aria-sort] button { color: var(--ink); font-weight: 600 }
th[aria-sort=ascending] button::after { content: " \\25B4" }
th[aria-sort=descending] button::after { content: " \\25BE" }
.filter { margin: .3rem 0 .6rem } .filter input { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--dim); border-radius: 4px; padding: .15rem .5rem; margin-left: .4rem }
.grid { display: flex; flex-wrap: wrap; gap: 1rem } .grid > * { max-width: 100% }
.grid.wide { gap: 1.4rem 2.2rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr)); gap: .8rem; margin: .8rem 0 }
.tiles > div { background: var(--card); border-radius: 6px; padding: .6rem .9rem }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums }
.tiles span { display: block; font-size: .8rem; color: var(--dim) }
figure { margin: 0; font-size: .8rem; line-height: 1.35 } figure img { display: block; border-radius: 4px }
.pair { display: flex; flex-wrap: wrap; gap: 2px }
figcaption { margin-top: .25rem; width: 0; min-width: 100%; overflow-wrap: anywhere }
.card { display: flex; gap: .8rem; flex: 1 1 25rem; max-width: 37rem; font-size: .8rem; line-height: 1.4;
  background: var(--card); border-radius: 6px; padding: .7rem; break-inside: avoid }
.card img { display: block; border-radius: 4px } .card > div:last-child { min-width: 0 }
@media (max-width: 36rem) { .card { flex-direction: column } }
.card > div:first-child { flex: none } .card > div:only-child { flex: auto } .card p { margin: 0 0 .35rem }
figure figure, .card figure { width: min-content; min-width: 5.3rem } .card .grid, figure .grid { gap: .6rem }
.card ol { margin: 0 0 .5rem; padding: 0; list-style: none } .card ol b { font-weight: 600 }
.share { display: inline-block; width: 3.4rem; height: .55rem; margin-right: .4rem; vertical-align: baseline;
  background: linear-gradient(to right, var(--c1) calc(var(--at) * 100%), var(--line) 0) }
.key { display: inline-flex; align-items: center; gap: .35rem; margin-right: 1rem }
pre { background: var(--card); padding: .6rem .8rem; border-radius: 6px; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .85rem }
summary { cursor: pointer; color: var(--dim) }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px }
svg { max-width: 100%; height: auto } svg text { fill: var(--ink); font: 11px system-ui, sans-serif }
svg.fixed { max-width: none; display: block } svg .faint { fill: var(--dim) } svg .small { font-size: 8px }
.bar { fill: var(--mark) } .soft { fill: var(--dim) } .rule { stroke: var(--line) } .axis { stroke: var(--dim) }
.k0 { --k: var(--c0) } .k1 { --k: var(--c1) } .k2 { --k: var(--c2) } .k3 { --k: var(--c3) } .k4 { --k: var(--c4) }
.k5 { --k: var(--c5) } .line { stroke: var(--k); fill: none; stroke-width: 1.8; stroke-linejoin: round }
.dash { stroke-dasharray: 5 3 } .dot, .fill { fill: var(--k) }
@media print {
  :root { --ink: #000; --paper: #fff; --dim: #444; --line: #bbb; --mark: #8d1f58; --card: #f4f4f1; --c0: #8d1f58;
    --c1: #17578a; --c2: #6f4800; --c3: #1f5c38; --c4: #523a97; --c5: #444; color-scheme: light }
  body { padding: 0; max-width: none; font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact }
  nav, .filter { display: none } .tall { max-height: none; overflow: visible } .tall thead th { position: static }
  figure, tr, .tiles > div { break-inside: avoid } h2, h3 { break-after: avoid } svg.fixed { max-width: 100% } }
""".strip()

_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells]
  const value = (row, at) => {
    const told = row.cells[at].textContent.trim(), number = parseFloat(told.replace(/[,%]/g, ""))
    return Number.isNaN(number) || at === 0 ? told.toLowerCase() : number
  }
  heads.forEach((head, at) => {
    const button = document.createElement("button")
    button.type = "button"
    button.append(...head.childNodes)
    head.append(button)
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort"), words = typeof value(body.rows[0], at) === "string"
      const up = was ? was === "descending" : words
      heads.forEach(each => each.removeAttribute("aria-sort"))
      head.setAttribute("aria-sort", up ? "ascending" : "descending")
      const rows = [...body.rows].map((row, i) => [value(row, at), i, row])
      rows.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * (up ? 1 : -1) || a[1] - b[1])
      body.append(...rows.map(each => each[2]))
    })
  })
  const label = document.createElement("label"), input = document.createElement("input")
  label.className = "filter"
  label.append("Show names with", input)
  input.type = "search"
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase()
    for (const row of body.rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted)
  })
  table.parentElement.before(label)
}
""".strip()
"""Lets tables of the class be sorted by their columns and filtered by their first; without it they stand as made."""


class Markup(str):
    """HTML that is well formed and safe."""


def text(written: object) -> Markup:
    """Anything as text."""
    return Markup(html.escape(str(written).encode("utf-8", "backslashreplace").decode(), quote=True))


def element(tag: str, *inside: object, kind: str = "", **attributes: object) -> Markup:
    """An element around pieces and texts. kind: its class; other attributes by name, aria_label for aria-label."""
    content = "".join(each if isinstance(each, Markup) else text(each) for each in inside)
    named = {"class": kind or None, **attributes}
    told = "".join(f' {name.replace("_", "-")}="{text(value)}"' for name, value in named.items() if value is not None)
    return Markup(f"<{tag}{told}>{content}</{tag}>")


def section(title: str, *pieces: object, name: str | None = None) -> Markup:
    """A heading with what stands under it. name: by which links find it."""
    return element("section", element("h2", title), *pieces, id=name)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    kind: str = "",
    tall: bool = False,
) -> Markup:
    """A table; the first column is a name, the others numbers. kind: sortable, words (no numbers); tall: scrolls."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", *(element("td" if i else "th", value, scope=None if i else "row") for i, value in enumerate(row)))
        for row in rows
    ]
    told = [element("caption", caption)] if caption else []
    inside = element("table", *told, element("thead", head), element("tbody", *body), kind=kind)
    about = caption or f"table of {columns[0]}"
    return element("div", inside, kind="scroll tall" if tall else "scroll", tabindex=0, role="region", aria_label=about)


def tiles(facts: Iterable[tuple[str, str, str]]) -> Markup:
    """Figures to be seen at once: (name, value, what is to be known of it)."""
    return element(
        "div",
        *(element("div", element("span", n), element("b", v), element("span", more)) for n, v, more in facts),
        kind="tiles",
    )


def contents(links: Iterable[tuple[str, str]]) -> Markup:
    """Links to sections: (their name, what is shown)."""
    return element("nav", *(element("a", shown, href=f"#{name}") for name, shown in links), aria_label="Contents")


def share(part: float) -> Markup:
    """A small bar that is filled to a part in 0..1; the number stands beside it."""
    return element("span", kind="share", style=f"--at:{part:.3f}", aria_hidden="true")


def folded(title: str, *pieces: object) -> Markup:
    """Pieces that open under a line."""
    return element("details", element("summary", title), *pieces)


def photo(image: NDArray[np.uint8], side: int, told: str, quality: int = 80) -> Markup:
    """A photo uint8[h, w, 3] in a square of `side` px, inside the page. told: what is read out in its place."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    width, height = picture.size
    return Markup(f'<img src="data:image/jpeg;base64,{data}" alt="{text(told)}" width="{width}" height="{height}">')


def figure(photos: Sequence[Markup], *caption: object) -> Markup:
    """Photos side by side, with lines under them."""
    lines = [element("div", line) for line in caption]
    return element("figure", element("div", *photos, kind="pair"), element("figcaption", *lines))


def grid(figures: Iterable[Markup], wide: bool = False) -> Markup:
    """Figures in rows. wide: with more room between them."""
    return element("div", *figures, kind="grid wide" if wide else "grid")


def bars(values: Sequence[float], names: Sequence[str], width: int = 900, told: str = "bars") -> Markup:
    """A horizontal bar for each value, with its name and number: SVG. told: what is read out in its place."""
    step, left, most = 15, 190, max([*values, 1e-12])
    rows = []
    for i, (value, name) in enumerate(zip(values, names, strict=True)):
        length, y = (width - left - 60) * value / most, i * step
        rows.append(
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{text(name)}</text>'
            f'<rect class="bar" x="{left}" y="{y + 2}" width="{length:.1f}" height="{step - 4}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 11}">{value:,g}</text>'
        )
    return svg(width, step * len(values) + 4, told, rows, kind="fixed")


def svg(width: float, height: float, told: str, parts: Iterable[str], kind: str | None = None) -> Markup:
    """A drawing of `width` x `height` px out of well-formed parts. told: what is read out in its place."""
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    named = f' class="{kind}"' if kind else ""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{text(told)}"{named} {box}>'
    return Markup(f"{start}{''.join(parts)}</svg>")


def page(title: str, *pieces: object) -> bytes:
    """The whole file."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>\n{_STYLE}\n</style></head>\n"
    )
    body = element("body", element("main", element("h1", title), *pieces))
    script = f"<script>\n{_SCRIPT}\n</script>" if 'class="sortable' in body else ""
    return (head + body + script + "</html>\n").encode()
