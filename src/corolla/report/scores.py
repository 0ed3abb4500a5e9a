"""The sections on how good a run is: figures, classes, the confusion matrix, pairs that it takes for each other, and
whether its probabilities can be believed.

Takes: a `Told`, photos of its records where they are at hand. Gives: pieces of a page.
"""

from collections.abc import Mapping

import numpy as np

from corolla import calibrate
from corolla.chart import Point, against_diagonal
from corolla.metrics import ClassScore
from corolla.page import Markup, element, figure, folded, grid, photo, section, share, svg, table, text, tiles
from corolla.report.reading import Told
from corolla.report.seen import Pixels

PAIRS = 12
"""Pairs of classes whose photos are shown."""

_SIDE = 112
_A_PAIR = 2
"""Wrong photos shown of each pair, beside a right one of either class."""


def interval(low: float, high: float, signed: bool = False) -> str:
    """As "0.955 to 0.969"."""
    how = "+.4f" if signed else ".4f"
    return f"{low:{how}} to {high:{how}}"


def headline(told: Told) -> Markup:
    """The figures to be seen at once."""
    s, present = told.scores, told.scores.classes_present
    facts = [
        ("Macro F1, all classes", f"{s.macro_f1:.4f}", f"95 %: {interval(*s.macro_f1_interval)}"),
        (
            f"Macro F1, {present} present",
            f"{s.macro_f1_present:.4f}",
            f"95 %: {interval(*s.macro_f1_present_interval)}",
        ),
        ("Accuracy", f"{s.accuracy:.2%}", f"{len(told.wrong):,} of {s.n:,} wrong"),
        ("Among the first five", f"{told.top5:.2%}", "the true label is"),
        ("Calibration error", f"{told.calibration_error:.2%}", "confidence against accuracy"),
    ]
    if told.gain:
        low, high = told.gain["interval"]
        gain = told.gain["macro_f1_present"]
        facts.append(("Gain over the probe", f"{gain:+.4f}", f"95 %: {interval(low, high, signed=True)}"))
    return element("div", tiles(facts), *_warnings(told))


def _warnings(told: Told) -> list[Markup]:
    lines = []
    if told.judges_taught:
        lines.append("This run has learned from the records it is judged by: its scores say nothing of new photos.")
    absent = len(told.classes) - told.scores.classes_present
    if absent:
        many = f"{absent} of the {len(told.classes)} classes have" if absent > 1 else "One class has"
        lines.append(f"{many} no records here, and can count only 0 in the macro F1 over all classes.")
    if told.scores.skipped_records:
        lines.append(f"{told.scores.skipped_records:,} damaged records were left out.")
    return [element("p", line, kind="mark" if told.judges_taught and not i else "dim") for i, line in enumerate(lines)]


# Classes ----------------------------------------------------------------------------------------------------------


def classes(told: Told, title: str, name: str) -> Markup:
    """A table with a row for each class, the costliest first."""
    said = (
        "Cost is how much higher macro F1 over all classes would be if the class had no mistake. A class without "
        "records here cannot be judged, and costs what nothing done here can change."
    )
    columns = ("class", "cost", "F1", "records", "called so", "precision", "recall", "most often confused with")
    costs = {label: cost.lost for label, cost in told.costs.items()}
    rows = sorted(told.scores.per_class, key=lambda row: (-costs.get(row.label, 0.0), row.support == 0, row.label))
    made = table(columns, [_class_row(told, row) for row in rows], "Scores by class", kind="sortable", tall=True)
    return section(title, element("p", said, kind="dim"), made, name=name)


def _class_row(told: Told, row: ClassScore) -> tuple[object, ...]:
    name = f"{row.name} ({row.label})"
    if not row.support:
        return (name, "–", "–", 0, row.predicted, "–", "–", "")
    f1 = element("span", share(row.f1), f"{row.f1:.3f}")
    measured = (f"{row.precision:.3f}", f"{row.recall:.3f}")
    cost = told.costs.get(row.label)
    if cost is None:
        return (name, "0.00000", f1, row.support, row.predicted, *measured, "")
    partner = f"{cost.partner_name} ({cost.taken_for_partner} taken for it, {cost.partner_taken_for_it} the other way)"
    return (name, f"{cost.lost:.5f}", f1, row.support, row.predicted, *measured, partner)


# Confusion --------------------------------------------------------------------------------------------------------

_CELL, _NAMES = 9, 112


def matrix(told: Told, title: str, name: str) -> Markup:
    """All classes against all classes: the diagonal by recall, mistakes by their number."""
    said = (
        "A row is a true class, a column what it was called. Blue on the diagonal: the part that was right; the other "
        "colour: mistakes, the darker the more. A square tells its names and numbers to the pointer that rests on it."
    )
    lines = [f"{row} as {column}: {count}" for row, column, count in _mistakes(told)]
    listed = folded(f"The {len(lines):,} kinds of mistakes as a list", element("p", "; ".join(lines) or "None."))
    drawn = element("div", _drawn(told), kind="scroll", tabindex=0, role="region", aria_label="Confusion matrix")
    return section(title, element("p", said, kind="dim"), drawn, listed, name=name)


def _mistakes(told: Told) -> list[tuple[str, str, int]]:
    """(true class, what it was called, times), the most frequent first."""
    found = told.confusion - np.diag(np.diag(told.confusion))
    rows, columns = np.nonzero(found)
    order = np.lexsort((columns, rows, -found[rows, columns]))
    return [(told.classes[rows[i]], told.classes[columns[i]], int(found[rows[i], columns[i]])) for i in order]


def _drawn(told: Told) -> Markup:
    count = len(told.classes)
    side = _NAMES + count * _CELL
    parts = [
        f'<rect x="{_NAMES}" y="{_NAMES}" width="{count * _CELL}" height="{count * _CELL}" fill="none" class="rule"/>'
    ]
    for label, called in enumerate(told.classes):
        at = _NAMES + label * _CELL
        short = text(called if len(called) <= _SHORT else called[: _SHORT - 1] + "…")
        if label % 2 == 0:
            parts.append(f'<path class="rule" stroke-width=".6" d="M{_NAMES} {at}H{side}M{at} {_NAMES}V{side}"/>')
        parts.append(f'<text class="small" x="{_NAMES - 3}" y="{at + 7}" text-anchor="end">{short}</text>')
        turned = f'transform="translate({at + 7} {_NAMES - 3}) rotate(-90)"'
        parts.append(f'<text class="small" {turned}>{short}</text>')
    support = told.confusion.sum(axis=1)
    rows, columns = np.nonzero(told.confusion)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        parts.append(_cell(told, row, column, int(support[row])))
    about = (
        f"Confusion matrix of {count} classes: {told.scores.n - len(told.wrong):,} of {told.scores.n:,} records right"
    )
    return svg(side + 1, side + 1, about, parts, kind="fixed")


_SHORT = 24


def _cell(told: Told, row: int, column: int, support: int) -> str:
    times = int(told.confusion[row, column])
    x, y, inside = _NAMES + column * _CELL + 0.5, _NAMES + row * _CELL + 0.5, _CELL - 1
    if row == column:
        shade, kind = 0.25 + 0.75 * times / support, "k1"
        said = f"{told.classes[row]}: {times} of {support} right"
    else:
        shade, kind = min(0.7 + 0.1 * (times - 1), 1.0), "k0"
        said = f"{told.classes[row]}, called {told.classes[column]}: {times} of {support}"
    place = f'x="{x:g}" y="{y:g}" width="{inside}" height="{inside}"'
    return f'<rect class="fill {kind}" {place} opacity="{shade:.2f}"><title>{text(said)}</title></rect>'


# Pairs ------------------------------------------------------------------------------------------------------------


def pairs_of(told: Told) -> list[tuple[int, int]]:
    """Pairs of classes that are taken for each other most often, of equal ones the costlier first."""
    between = told.confusion + told.confusion.T
    found = [(a, b) for a, b in zip(*np.nonzero(np.triu(between, 1)), strict=True)]
    costs = {label: cost.lost for label, cost in told.costs.items()}
    found.sort(key=lambda pair: (-between[pair], -sum(costs.get(label, 0.0) for label in pair), pair))
    return [(int(a), int(b)) for a, b in found[:PAIRS]]


def shown_of_pairs(told: Told) -> dict[tuple[int, int], list[int]]:
    """For each pair the numbers of records to show: a sure and right one of either class, then mistakes."""
    shown = {}
    for pair in pairs_of(told):
        mistakes = [
            i for i in told.wrong.tolist() if {int(told.predictions.labels[i]), int(told.predicted[i])} == set(pair)
        ]
        shown[pair] = [*filter(lambda i: i is not None, (_typical(told, each) for each in pair)), *mistakes[:_A_PAIR]]
    return shown


def _typical(told: Told, label: int) -> int | None:
    """The right record of a class that the run was surest of."""
    right = np.flatnonzero((told.predictions.labels == label) & (told.predicted == label))
    return int(right[told.predictions.probabilities[right, label].argmax()]) if len(right) else None


def pairs(told: Told, images: Mapping[int, Pixels], title: str, name: str) -> Markup:
    """The most confused pairs, with photos of both where they are at hand."""
    found = shown_of_pairs(told)
    if not found:
        return section(title, element("p", "No two classes were confused."), name=name)
    said = "Of each pair: photos that were right, one of either class, then photos that were taken for the other class."
    return section(
        title,
        element("p", said, kind="dim"),
        grid([_pair(told, pair, shown, images) for pair, shown in found.items()], wide=True),
        name=name,
    )


def _pair(told: Told, pair: tuple[int, int], shown: list[int], images: Mapping[int, Pixels]) -> Markup:
    first, second = pair
    photos = [figure([photo(images[i], _SIDE, _alternative(told, i))], _under(told, i)) for i in shown if i in images]
    names = [told.classes[label] for label in pair]
    lines = [
        f"{int(told.confusion[a, b])} {told.classes[a]} called {told.classes[b]}"
        for a, b in ((first, second), (second, first))
        if told.confusion[a, b]
    ]
    return figure([grid(photos)] if photos else [], element("b", " and ".join(names)), "; ".join(lines))


def _alternative(told: Told, i: int) -> str:
    name = told.classes[told.predictions.labels[i]]
    called = told.classes[told.predicted[i]]
    return f"a photo of {name}" + ("" if name == called else f", called {called}")


def _under(told: Told, i: int) -> Markup:
    right = told.predictions.labels[i] == told.predicted[i]
    name = told.classes[told.predictions.labels[i]]
    return element(
        "span", name if right else f"{name}, called {told.classes[told.predicted[i]]}", kind="" if right else "mark"
    )


# Probabilities ----------------------------------------------------------------------------------------------------


def reliability(told: Told, title: str, name: str) -> Markup:
    """How often the run is right when it is so and so sure."""
    labels, probabilities = told.predictions.labels, told.predictions.probabilities
    found = calibrate.reliability(labels, probabilities)
    points = [
        Point(each.confidence, each.accuracy, *each.interval, f"{each.n:,} records: {_bin(each)}") for each in found
    ]
    rows = [(_bin(each), f"{each.n:,}", "{:.1%} to {:.1%}".format(*each.interval)) for each in found]
    drawn = against_diagonal(points, "confidence", "right", f"Accuracy by confidence in {len(found)} bins")
    said = (
        "Points on the line: where the run is 80 % sure, it is right 8 times in 10. Above the line it is too modest, "
        "below too sure. The bars are 95 % intervals (Wilson)."
    )
    by_width = calibrate.calibration_error(labels, probabilities, "width")
    about = (
        f"Expected calibration error: {told.calibration_error:.4f} by bins of as many records each, {by_width:.4f} by "
        f"bins of equal width. {_temperature(told)}"
    )
    columns = ("confidence and accuracy", "records", "95 % of accuracy")
    beside = element("div", element("p", about), table(columns, rows, "The points of the diagram"))
    return section(title, element("p", said, kind="dim"), grid([drawn, beside], wide=True), name=name)


def _bin(each: calibrate.Bin) -> str:
    return f"{each.confidence:.1%} sure, {each.accuracy:.1%} right"


def _temperature(told: Told) -> str:
    labels, probabilities = told.predictions.labels, told.predictions.probabilities
    if len(labels) < 2 * calibrate.FOLDS:
        return "There are too few records to fit a temperature."
    found = calibrate.calibrate(told.predictions.ids, labels, probabilities)
    return (
        f"With a temperature of {found.temperature:.2f} it is {found.error_by_mass[1]:.4f}, and cross-entropy "
        f"{found.loss[1]:.4f} instead of {found.loss[0]:.4f} (cross-fitted)."
    )
