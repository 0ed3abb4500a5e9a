"""The sections on how runs got where they are: curves, where the time went, and how to repeat them.

Takes: `Told`s. Gives: pieces of a page.
"""

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from corolla.chart import Series, key, lines, number, part_key, parts
from corolla.page import Markup, element, figure, folded, grid, section, table
from corolla.rates import part_of_peak
from corolla.report.reading import History, Told

_SPENT = (
    ("train", "training"),
    ("compile", "compiling"),
    ("input", "input"),
    ("evaluate", "evaluation"),
    ("probe", "probe"),
    ("save", "saving"),
)
"""What the clock of a run tells apart, and what it is called here; more of it counts as the last."""


def curves(runs: Sequence[Told]) -> Markup:
    """Loss, macro F1, learning rate and speed by epoch."""
    histories = [history for told in runs for history in told.histories if history.lines]
    if not histories:
        return section("Training", element("p", "No epochs are known: the runs were made of others.", kind="dim"))
    several = len(histories) > 1
    charts = [
        _chart(_both(histories, "loss", several), "epoch", "Cross-entropy [nats]"),
        _chart(_both(histories, "macro_f1", several), "epoch", "Macro F1 over all classes"),
        _chart(_rates(runs), "step", "Learning rate", from_zero=True),
        _chart(_speeds(histories), "epoch", "Training images a second", from_zero=True),
    ]
    said = (
        "Epoch 0 is the probe: the head alone, solved on the backbone's features. A large point marks the weights that "
        "were kept. Records that teach are seen cropped and mirrored, by weights that still change; those that judge "
        "plain, by averaged weights."
    )
    drawn = grid([chart for chart in charts if chart is not None], wide=True)
    return section("Training", element("p", said, kind="dim"), _key(histories), drawn, name="training")


def _chart(series: list[Series], across: str, up: str, from_zero: bool = False) -> Markup | None:
    return figure([lines(series, across, up, from_zero=from_zero)], up) if series else None


def _rates(runs: Sequence[Told]) -> list[Series]:
    """By step, of runs that trained: a run's last step is the last of its schedule."""
    histories = [(told, history) for told in runs for history in told.histories if history.lines]
    found = []
    for place, (told, history) in enumerate(histories):
        last = history.lines[-1]["step"]
        if last > 0:
            steps = np.unique(np.linspace(1, last, 120).round())
            rates = told.settings["learning_rate"] * part_of_peak(steps / last, told.settings["warmup"])
            found.append(Series(history.name, (steps - 1).tolist(), rates.tolist(), _colour(place, histories)))
    return found


def _speeds(histories: Sequence[History]) -> list[Series]:
    found = []
    for place, history in enumerate(histories):
        if told := history.images_per_second():
            xs, ys = zip(*told, strict=True)
            found.append(Series(history.name, xs, ys, _colour(place, histories)))
    return found


def _colour(place: int, all_of_them: Sequence[Any]) -> int:
    return place if len(all_of_them) > 1 else 1


def _both(histories: Sequence[History], measure: str, several: bool) -> list[Series]:
    """Of each run a dashed line for the records that teach, and one for those that judge."""
    found = []
    for place, history in enumerate(histories):
        for part, who, dashed in (("train", "teaching", True), ("val", "judging", False)):
            points = [
                (line["epoch"], line[f"{part}_{measure}"]) for line in history.lines if f"{part}_{measure}" in line
            ]
            if points:
                xs, ys = zip(*points, strict=True)
                kept = [at for at, line in enumerate(history.lines) if line.get("best")]
                marked = kept[-1] if kept and not dashed else None
                name = f"{history.name}, {who}" if several else f"records {who}"
                found.append(Series(name, xs, ys, place if several else int(not dashed), dashed, marked))
    return found


def _key(histories: Sequence[History]) -> Markup:
    if len(histories) == 1:
        return key([Series("records that teach", [], [], 0, True), Series("records that judge", [], [], 1)])
    entries = [Series(history.name, [], [], place) for place, history in enumerate(histories)]
    return key([*entries, Series("records that teach", [], [], 5, True), Series("records that judge", [], [], 5)])


# Where the time went ----------------------------------------------------------------------------------------------


def time(runs: Sequence[Told]) -> Markup:
    """What the seconds were spent on, as bars and in a table."""
    histories = [history for told in runs for history in told.histories if history.seconds]
    if not histories:
        return section("Time", element("p", "The runs have kept no times.", kind="dim"))
    names = [name for _, name in _SPENT]
    rows = [(history.name, _spent(history)) for history in histories]
    cells = [
        (name, *(_seconds(value, sum(values)) for value in values), f"{sum(values):,.0f} s") for name, values in rows
    ]
    said = "Training, input (reading and placing photos), evaluation after each epoch, and compiling are timed apart."
    return section(
        "Where the time went",
        element("p", said, kind="dim"),
        part_key(names),
        parts(rows, names, "s"),
        table(("run", *names, "in all"), cells, "Seconds, and their part of the run's time"),
        name="time",
    )


def _spent(history: History) -> list[float]:
    known = [kind for kind, _ in _SPENT]
    spent = [float(history.seconds.get(kind, 0.0)) for kind in known]
    spent[-1] += sum(value for kind, value in history.seconds.items() if kind not in known)
    return spent


def _seconds(value: float, whole: float) -> str:
    return f"{number(round(value, 1))} s ({value / max(whole, 1e-9):.0%})"


# How to repeat it -------------------------------------------------------------------------------------------------


def repeat(runs: Sequence[Told]) -> Markup:
    """The command that repeats each run, and what it ran on."""
    said = "The same command, data, versions and kind of device give the same numbers."
    pieces = [element("p", said, kind="dim")]
    for told in runs:
        pieces += [element("h3", told.name)] if len(runs) > 1 else []
        pieces += [element("pre", element("code", shlex.join(told.command))), *_limit(told), *_facts(told)]
    return section("How to repeat it", *pieces, name="repeat")


def _limit(told: Told) -> list[Markup]:
    minutes = told.settings.get("minutes")
    if minutes is None:
        return []
    return [element("p", f"It had {minutes:g} minutes: a slower machine may get through fewer epochs.", kind="dim")]


def _facts(told: Told) -> list[Markup]:
    packages = told.environment.get("packages", {})
    facts = [
        ("devices", told.environment.get("devices", "unknown")),
        ("system", f"{told.environment.get('system')}, Python {told.environment.get('python')}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items() if version)),
        *((f"data, {split}", _print(told.prints[split])) for split in ("train", "val") if split in told.prints),
    ]
    settings = [(name, value) for name, value in told.settings.items()]
    return [
        table(("fact", "value"), facts, "What it ran on, and a fingerprint of its data", kind="words"),
        folded("All settings", table(("setting", "value"), settings, "Settings of the run", kind="words")),
    ]


def _print(known: dict[str, Any]) -> str:
    size = "x".join(map(str, known.get("size_px", [])))
    return f"{known.get('records', 0):,} records of {size} px, SHA-256 {known.get('sha256', '')[:16]}…"
