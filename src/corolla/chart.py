"""Charts for pages: lines over numbers, parts of a whole, points with intervals; their colours are the page's own.

Takes: plain numbers. Gives: `Markup`, SVG with text as text, and nothing in it that differs from call to call. Every
point tells its numbers to a pointer that rests on it, and no colour tells anything alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from corolla.page import Markup, element, svg, text

COLOURS = 6
"""Of the page, `k0` to `k5`; more series begin again."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 18, 10, 34


@dataclass(frozen=True)
class Series:
    """A line: its name, points, colour (of `COLOURS`), whether it is dashed, and the place of a marked point."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    dashed: bool = False
    marked: int | None = None


class _Scale(NamedTuple):
    """Numbers to px along one side: from `low` at `start` to `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at most `low` to at least `high`, a step of 1, 2 or 5 times a power of ten apart."""
    span = high - low if high > low else abs(high) or 1.0
    rough = span / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, max(last, first + 1) + 1)]


# Lines ------------------------------------------------------------------------------------------------------------


def lines(
    series: Sequence[Series], across: str, up: str, width: int = 530, height: int = 230, from_zero: bool = False
) -> Markup:
    """A line for each series. across, up: what the two sides mean; across stand whole numbers; from_zero: up."""
    xs, ys = [x for one in series for x in one.xs], [y for one in series for y in one.ys]
    marks = ticks(0.0 if from_zero else min(ys), max(ys))
    x = _Scale(min(xs), max(max(xs), min(xs) + 1), _LEFT + 8, width - _RIGHT)
    y = _Scale(marks[0], marks[-1], height - _BOTTOM, _TOP)
    below = [tick for tick in ticks(min(xs), max(xs), 8) if tick == int(tick) and x.low <= tick <= x.high]
    parts = [*_frame(x, y, below, marks, across)]
    for one in series:
        parts += _line(one, x, y, across)
    told = "; ".join(f"{one.name} from {number(one.ys[0])} to {number(one.ys[-1])}" for one in series)
    return svg(width, height, f"{up} by {across}: {told}", parts)


def _frame(x: _Scale, y: _Scale, below: Sequence[float], beside: Sequence[float], across: str) -> Iterator[str]:
    """Ticks with their numbers, and what stands below them."""
    left, right, bottom = x.start - 8, x.end + 8, y.start
    for tick in beside:
        yield f'<path class="rule" d="M{left:.1f} {y(tick):.1f}H{right:.1f}"/>'
        yield f'<text class="faint" x="{left - 6:.1f}" y="{y(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
    for tick in below:
        yield f'<text class="faint" x="{x(tick):.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{number(tick)}</text>'
    yield f'<path class="axis" d="M{left:.1f} {bottom:.1f}H{right:.1f}"/>'
    yield f'<text class="faint" x="{right:.1f}" y="{bottom + 29:.1f}" text-anchor="end">{text(across)}</text>'


def _line(one: Series, x: _Scale, y: _Scale, across: str) -> Iterator[str]:
    path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in zip(one.xs, one.ys, strict=True))
    dash = " dash" if one.dashed else ""
    yield f'<g class="k{one.colour % COLOURS}"><path class="line{dash}" d="M{path}"/>'
    if len(one.xs) <= _DOTTED:
        for place, (a, b) in enumerate(zip(one.xs, one.ys, strict=True)):
            told = f"{one.name}, {across} {number(a)}: {number(b)}"
            size = 4.5 if place == one.marked else 2.4
            yield f'<circle class="dot" cx="{x(a):.1f}" cy="{y(b):.1f}" r="{size}"><title>{text(told)}</title></circle>'
    yield "</g>"


_DOTTED = 60
"""Points of a line that are drawn one by one."""


def number(value: float) -> str:
    """A number as it is read best: up to four digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def key(series: Sequence[Series]) -> Markup:
    """What the lines mean, to stand beside charts."""
    return element("p", *(_entry(one) for one in series))


def _entry(one: Series) -> Markup:
    dash = " dash" if one.dashed else ""
    drawn = f'<path class="line{dash}" d="M0 6H26"/>'
    shown = f'<svg width="26" height="12" class="k{one.colour % COLOURS}" aria-hidden="true">{drawn}</svg>'
    return element("span", Markup(shown), one.name, kind="key")


# Parts of a whole -------------------------------------------------------------------------------------------------


def parts(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], unit: str, width: int = 760) -> Markup:
    """A bar a row, made of parts with the colours k0, k1, ...; the longest row fills the width. unit: of the values."""
    most, left, step = max(sum(values) for _, values in rows) or 1.0, 150 if len(rows) > 1 else 0, 30
    drawn = []
    for place, (name, values) in enumerate(rows):
        at, top = float(left), place * step
        if left:
            shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
            drawn.append(f'<text x="{left - 8}" y="{top + 16}" text-anchor="end">{text(shown)}</text>')
        for colour, (part, value) in enumerate(zip(names, values, strict=True)):
            length = (width - left) * value / most
            told = f"<title>{text(f'{part}: {number(value)} {unit}')}</title>"
            drawn.append(
                f'<rect class="fill k{colour % COLOURS}" x="{at:.1f}" y="{top}" width="{length:.1f}" height="22">'
                f"{told}</rect>"
            )
            at += length
    told = "; ".join(
        f"{row}: " + ", ".join(f"{name} {number(value)} {unit}" for name, value in zip(names, values, strict=True))
        for row, values in rows
    )
    return svg(width, step * len(rows), told, drawn)


_LONGEST = 22


def part_key(names: Sequence[str]) -> Markup:
    """What the colours of `parts` mean."""
    square = (
        '<svg width="12" height="12" class="k{}" aria-hidden="true"><rect class="fill" width="12" height="12"/></svg>'
    )
    entries = (
        element("span", Markup(square.format(place % COLOURS)), name, kind="key") for place, name in enumerate(names)
    )
    return element("p", *entries)


# Points with intervals --------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A point with an interval upwards and downwards, and what is told of it."""

    x: float
    y: float
    low: float
    high: float
    told: str


def against_diagonal(points: Sequence[Point], across: str, up: str, told: str, side: int = 340) -> Markup:
    """Points in the unit square, whose diagonal is where they ought to lie."""
    beside = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    x, y = _Scale(0, 1, _LEFT + 8, side - _RIGHT), _Scale(0, 1, side - _BOTTOM, _TOP)
    drawn = [*_frame(x, y, beside, beside, across)]
    drawn.append(f'<path class="axis dash" d="M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}"/><g class="k1">')
    for point in points:
        drawn.append(
            f'<path class="line" d="M{x(point.x):.1f} {y(point.low):.1f}V{y(point.high):.1f}"/>'
            f'<circle class="dot" cx="{x(point.x):.1f}" cy="{y(point.y):.1f}" r="4"><title>{text(point.told)}</title>'
            "</circle>"
        )
    drawn.append(f'</g><text class="faint" x="{x(0) + 4:.1f}" y="{y(1) + 12:.1f}">{text(up)}</text>')
    return svg(side, side, told, drawn)
