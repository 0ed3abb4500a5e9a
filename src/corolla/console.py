"""What people see in a terminal: progress, one line an epoch, tables of scores.

Takes: figures from the verbs. Gives: text through rich. In a pipe or a log file, progress bars stay out.
"""

import time
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from corolla.metrics import ClassCost, ClassScore, Scores
from corolla.models.registry import Facts
from corolla.reporter import Reporter
from corolla.types import SPLITS

LOG_EVERY_SECONDS = 30.0
"""Between two lines of progress where there is no terminal."""

COSTLIEST = 10
"""Classes shown of those that cost most; all of them stand in the JSON file."""


class ConsoleReporter(Reporter):
    """Shows a live bar in a terminal, and sparse lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._stage: tuple[str, TaskID] | None = None
        self._logged = time.monotonic()

    def __enter__(self) -> "ConsoleReporter":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def note(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def progress(self, stage: str, done: int, total: int, **figures: float) -> None:
        if self._stage is None or self._stage[0] != stage:
            if self._stage is not None:
                self.bar.remove_task(self._stage[1])
            self._stage = (stage, self.bar.add_task(stage, total=total, figures=""))
        self.bar.update(self._stage[1], completed=done, total=total, figures=describe(figures))
        if not self.console.is_terminal and time.monotonic() - self._logged > LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            self.note(f"{stage}: {done} of {total}  {describe(figures)}")

    def epoch(self, line: dict[str, Any]) -> None:
        name = "probe  " if line["epoch"] == 0 else f"epoch {line['epoch']}"
        star = " [green]best so far[/]" if line["best"] else ""
        self.console.print(
            f"[bold]{name}[/]  train loss {line['train_loss']:.3f}  val loss {line['val_loss']:.3f}  "
            f"macro F1 [bold]{line['val_macro_f1_present']:.4f}[/]  accuracy {line['val_accuracy']:.4f}{star}",
            highlight=False,
            soft_wrap=True,
        )


def print_models(console: Console, models: list[Facts]) -> None:
    """A table of every backbone."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    for column in ("parameters", "GFLOPs", "size (px)"):
        table.add_column(column, justify="right")
    table.add_column("ImageNet weights")
    for one in models:
        table.add_row(one.name, f"{one.parameters / 1e6:.1f} M", f"{one.gflops:.2f}", str(one.image_size), one.weights)
    console.print(table)
    console.print(
        "also hub:PRESET, the image models of KerasHub: pip install 'corolla[hub]'", markup=False, highlight=False
    )


def print_plan(console: Console, plan: dict[str, Any]) -> None:
    """A plan in words: what it is of, what it needs, how fast it can be and what keeps it."""
    lines = [_plan_title(plan)]
    lines += [
        f"{name:<32} {value:>16}  {note}".rstrip() for name, value, note in (*_plan_needs(plan), *_plan_speeds(plan))
    ]
    lines += [f"note: {note}" for note in plan["notes"]]
    if plan["images_per_second_bound"] is not None:
        lines.append("A bound is a bound: no run of this program is faster, and most are slower.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plan_title(plan: dict[str, Any]) -> str:
    chips, records = plan["chips"], plan["train_records"]
    kept = "resident" if plan["resident"] else "streamed"
    return (
        f"{plan['model']} at {plan['image_size']} px on {plan['topology']} ({chips} x {plan['device_kind']}), "
        f"{plan['batch_size']} images a step in {plan['precision']}, {records:,} records {kept}"
    )


def _plan_needs(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    parts = ", ".join(f"{name} {_gib(size)}" for name, size in plan["hbm_parts"].items())
    across = plan["collectives"]
    kinds = ", ".join(f"{each['count']} {each['kind']}" for each in across) or "nothing crosses chips"
    return [
        ("parameters", f"{plan['parameters'] / 1e6:.2f} M", f"compiled in {plan['compile_seconds']:.0f} s"),
        ("memory a chip", _gib(plan["hbm_bytes_per_chip"]), f"of {_gib(plan['hbm_capacity_bytes'])}: {parts}"),
        ("largest batch", *_plan_largest(plan)),
        ("an image", f"{plan['flops_per_image'] / 1e9:.2f} GFLOP", f"{plan['bytes_per_image'] / 1e6:.0f} MB of memory"),
        ("across chips", f"{sum(each['bytes'] for each in across) / 1e6:.1f} MB", f"a step: {kinds}"),
    ]


def _plan_largest(plan: dict[str, Any]) -> tuple[str, str]:
    size, too_large = f"{plan['largest_batch_size']:,}", plan["too_large_batch_size"]
    if not plan["largest_batch_compiled"]:
        return f"about {size}", "images a step, by proportion (--search compiles)"
    beyond = "more were not tried" if too_large is None else f"{too_large:,} do not fit"
    return size, f"images a step, compiled; {beyond}"


def _plan_speeds(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    def row(name: str, rate: float | None, note: str) -> list[tuple[str, str, str]]:
        return [] if rate is None else [(name, f"{rate:,.0f} images/s", note)]

    def epoch(kind: str) -> str:
        seconds = plan[f"epoch_seconds_{kind}"]
        return (
            ""
            if seconds is None
            else f"an epoch in {seconds:.2g} s"
            if seconds < 60
            else f"an epoch in {duration(seconds)}"
        )

    judged = plan["evaluation"]
    return [
        *row("training, bound", plan["images_per_second_bound"], f"kept by {plan['bound_by']}; {epoch('bound')}"),
        *row("training, scheduled", plan["images_per_second_scheduled"], "a closer bound: its code, or memory"),
        *row("training, compiler's estimate", plan["images_per_second_estimate"], epoch("estimate")),
        *row("training, measured", plan["images_per_second_measured"], ""),
        *row("evaluation, bound", judged["images_per_second_bound"], f"kept by {judged['bound_by']}"),
        *row("evaluation, compiler's estimate", judged["images_per_second_estimate"], ""),
    ]


# The doctor -------------------------------------------------------------------------------------------------------


def print_diagnosis(console: Console, found: dict[str, Any]) -> None:
    """What the doctor found: what is here, what was measured, how long a run takes, and what to change."""
    facts = _table()
    for name, text in _diagnosis_facts(found):
        facts.add_row(Text(name, style="bold"), Text(text))
    for each in found["findings"]:
        style = {"broken": "bold red", "warning": "bold yellow"}[each["level"]]
        facts.add_row(Text(each["level"], style=style), Text(f"{each['what']}; change: {each['change']}"))
    console.print(facts)
    if found["vitals"]:
        console.print()
        console.print(_rates(found, "█" if console.encoding.startswith("utf") else "#"))
    console.print()
    end = _table()
    if found["bottleneck"]:
        total = sum(found["run"].values())
        share = f"{found['bottleneck']}, {found['run'][found['bottleneck']] / total:.0%} of {duration(total)}"
        end.add_row(Text("bottleneck", style="bold"), Text(share))
        end.add_row(Text("change", style="bold"), Text(found["change"]))
    verdict = Text("usable") if found["usable"] else Text("not usable as it is", style="bold red")
    end.add_row(Text("verdict", style="bold"), verdict.append(f", examined in {found['seconds']:.0f} s", style="dim"))
    console.print(end)


def _table() -> Table:
    """Names on the left, texts that are wrapped beside them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=10, no_wrap=True)
    table.add_column()
    return table


def _diagnosis_facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    seen, memory = found["vitals"], found["memory"]
    if seen:
        yield "devices", f"{seen['devices']}, Keras on {seen['backend']}"
    installed = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    unmet = sum(1 for each in found["findings"] if " wants " in each["what"])
    fits = f"{found['requirements'] - unmet} of {found['requirements']} requirements met"
    yield "versions", f"{installed}; {fits}"
    if not memory:
        return
    device = "" if seen["platform"] == "cpu" else f"{memory['device'] / 1e9:.1f} GB on the devices, "
    yield (
        "free",
        f"{device}{memory['host'] / 1e9:.1f} GB of host memory, {memory['disk'] / 1e9:.0f} GB on the disk here",
    )
    photos = f"{seen['train_records'] + seen['val_records']:,} photos of {seen['data_size']} px"
    yield "pixels", f"{photos}: {_pixels(memory, '')}"
    if memory["pixels"] != memory["competition_pixels"]:
        yield "", f"all labelled photos of the competition: {_pixels(memory, 'competition_')}"


def _pixels(memory: dict[str, Any], which: str) -> str:
    kept = "resident" if memory[f"{which}resident"] else "streamed"
    return f"{memory[f'{which}pixels'] / 1e9:.2f} GB, {kept}"


def _rates(found: dict[str, Any], bar: str) -> Table:
    """What was measured, and what a run takes of each stage, with a bar for its share."""
    seen, run = found["vitals"], found["run"] or {}
    compiling = (seen["train_compile_seconds"] or 0) + (seen["predict_compile_seconds"] or 0)
    rows = (
        ("reading", seen["reading"], "images/s", "painted JPEGs" if found["painted"] else "JPEGs"),
        ("transfer", seen["transfer_bytes_per_second"] / 1e9, "GB/s", ""),
        ("compiling", compiling or None, "s", "training, prediction"),
        ("features", seen["evaluation"], "images/s", "frozen backbone"),
        ("steps", seen["training"], "images/s", f"{found['batch_size']} a step"),
        ("evaluation", seen["evaluation"], "images/s", ""),
    )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", width=10, no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column(f"{found['epochs']} epochs", justify="right", no_wrap=True)
    table.add_column("")
    for stage, rate, unit, note in rows:
        if rate is None:
            continue
        share = run[stage] / sum(run.values()) if run else 0.0
        figure = f"{rate:,.0f} {unit}" if rate >= 20 else f"{rate:.2g} {unit}"
        taken = duration(run[stage]) if run else ""
        table.add_row(stage, figure, Text(note, style="dim"), taken, bar * round(14 * share))
    return table


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def describe(figures: dict[str, float]) -> str:
    """The figures of a progress line, in words."""
    parts = []
    if "loss" in figures:
        parts.append(f"loss {figures['loss']:.3f}")
    if "macro_f1" in figures:
        parts.append(f"macro F1 {figures['macro_f1']:.3f}")
    if "images_per_second" in figures:
        parts.append(f"{figures['images_per_second']:,.0f} images/s")
    if "seconds_left" in figures:
        parts.append(f"{duration(figures['seconds_left'])} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 2:05 min, 1:02 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def print_scores(console: Console, scores: Scores, table: bool) -> None:
    """The headline, in plain words which figure is which; and the table by class where wished."""
    rows = (
        (
            "macro F1, all classes",
            scores.macro_f1,
            scores.macro_f1_interval,
            f"{len(scores.per_class)} classes, as the competition counts",
        ),
        (
            "macro F1, classes present",
            scores.macro_f1_present,
            scores.macro_f1_present_interval,
            f"{scores.classes_present} classes have photos in {scores.split}",
        ),
    )
    for name, value, (low, high), meaning in rows:
        console.print(
            f"{name:<26}[bold]{value:.4f}[/]  95 % interval {low:.4f} to {high:.4f}  [dim]{meaning}[/]",
            highlight=False,
            soft_wrap=True,
        )
    skipped = f", {scores.skipped_records} records skipped" if scores.skipped_records else ""
    console.print(
        f"{'accuracy':<26}[bold]{scores.accuracy:.4f}[/]  [dim]{scores.n} photos of {scores.split}{skipped}[/]",
        highlight=False,
        soft_wrap=True,
    )
    if not table:
        return
    console.print(class_table(scores.per_class))
    if scores.costs:
        console.print()
        console.print(cost_table(scores.costs[:COSTLIEST]))


def class_table(rows: list[ClassScore]) -> Table:
    """All classes, the worst F1 first; classes without photos last."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, justify in (("label", "right"), ("name", "left"), ("photos", "right"), ("predicted", "right")):
        table.add_column(title, justify=justify)  # pyright: ignore
    for title in ("precision", "recall", "F1"):
        table.add_column(title, justify="right")
    for row in sorted(rows, key=lambda one: (one.support == 0, one.f1, one.label)):
        figures = [f"{value:.3f}" for value in (row.precision, row.recall, row.f1)]
        table.add_row(str(row.label), row.name, str(row.support), str(row.predicted), *figures)
    return table


def cost_table(rows: list[ClassCost]) -> Table:
    """Which classes cost most: what each takes from macro F1, and the class that it is confused with most often."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, justify in (("costs you most", "left"), ("macro F1 lost", "right"), ("confused with", "left")):
        table.add_column(title, justify=justify)  # pyright: ignore
    for title in ("taken for it", "it for this"):
        table.add_column(title, justify="right")
    for row in rows:
        figures = f"{row.lost:.4f}", row.partner_name, str(row.taken_for_partner), str(row.partner_taken_for_it)
        table.add_row(row.name, *figures)
    return table


def print_blend(console: Console, made: dict[str, Any]) -> None:
    """What `corolla blend` found: how well each way of using the runs does, and what each run counts.

    "off by": expected calibration error. The gain is against the first way with equal weights, with its 95 % interval.
    """
    ways = Table(box=None, header_style="bold", pad_edge=False)
    ways.add_column(f"judged on {made['records']:,} records")
    for title in ("macro F1", "accuracy", "loss", "off by", "gain in macro F1"):
        ways.add_column(title, justify="right", no_wrap=True)
    for way in made["ways"]:
        low, high = way["interval"]
        gain = f"{way['gain']:+.4f} ({low:+.4f}, {high:+.4f})" if way["gain"] or low or high else ""
        figures = [f"{way[name]:.4f}" for name in ("macro_f1", "accuracy", "loss", "calibration_error")]
        ways.add_row(Text(way["name"]), *figures, gain)
    console.print(ways)
    for member in made["members"]:
        counts = f"{member['weight']:6.1%}  {member['run']}  at temperature {member['temperature']:.2f}"
        console.print(counts, markup=False, highlight=False, soft_wrap=True)


_FEWEST = 8
"""Classes that are named: the smallest, and those without photos unless they are more."""
_second = itemgetter(1)


def print_built(console: Console, built: dict[str, Any]) -> None:
    """What `corolla build` wrote: photos in each split, the smallest classes, and what was left out."""
    splits = ", ".join(f"{split} {count:,}" for split, count in built["photos"].items())
    seen = {name: count for name, count in built["classes"].items() if count}
    what = "built" if built["fresh"] else "there already, and whole"
    lines = [
        f"{what}: {splits}; {len(seen)} of {len(built['classes'])} classes, {min(seen.values())} to "
        f"{max(seen.values())} photos each",
        f"the smallest: {', '.join(f'{name} {count}' for name, count in sorted(seen.items(), key=_second)[:_FEWEST])}",
        f"{built['groups']} groups of look-alikes; "
        f"left out: {built['broken']} damaged, {built['unmapped']} without a label",
    ]
    if 0 < len(without := [name for name in built["classes"] if name not in seen]) <= _FEWEST:
        lines.insert(2, f"none of: {', '.join(without)}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


# ------------------------------------------------------------------------------------------------- audit, submissions

_SHOWN = 10
"""Labels in doubt or in conflict that are shown; --json and --html have them all."""


def print_audit(console: Console, found: dict[str, Any], cleaned: dict[str, Any] | None) -> None:
    """Leaks as a table, then labels in conflict and in doubt, then what was written."""
    parts = [leak["part"] for leak in found["leaks"]]
    long = len(parts) > len(SPLITS)  # names of several data sets do not fit above columns
    heads = [str(number) for number in range(1, len(parts) + 1)] if long else parts
    table = Table(box=None, pad_edge=False, header_style="dim", title="records with a twin in", title_style="dim")
    table.add_column("")
    for name in ("records", *heads, "any other"):
        table.add_column(name, justify="right", no_wrap=True)
    for head, leak in zip(heads, found["leaks"], strict=True):
        counts = [leak["records"], *(leak["twins"][part] for part in parts), leak["others"]]
        table.add_row(Text(f"{head} {leak['part']}" if long else head), *(f"{count:,}" for count in counts))
    console.print(table)
    for line in _audit_lines(found, cleaned):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _audit_lines(found: dict[str, Any], cleaned: dict[str, Any] | None) -> Iterator[str]:
    exact = sum(twin["exact"] for twin in found["twins"])
    yield f"{len(found['twins']):,} pairs of twins, {exact:,} of them byte for byte"
    for each in found["conflicts"][:_SHOWN]:
        calls = (f"{one['split']} {one['id']} is {one['label']}" for one in (each["first"], each["second"]))
        yield f"two labels: {', '.join(calls)}"
    for each in (found["doubts"] or [])[:_SHOWN]:
        chances = f"({each['given_probability']:.0%}), likely {each['likely_name']} ({each['likely_probability']:.0%})"
        yield f"in doubt: {each['id']} is called {each['name']} {chances}"
    for name, what in (("conflicts", "twins with two labels"), ("doubts", "labels in doubt")):
        more = len(found[name] or []) - _SHOWN
        if more > 0:
            yield f"and {more:,} more {what}: --json and --html have them"
    if cleaned:
        gone = ", ".join(f"{count:,} {reason}" for reason, count in cleaned["left_out"].items() if count) or "nothing"
        yield f"{cleaned['kept']:,} records written; left out: {gone}"


def print_checked(console: Console, found: dict[str, Any]) -> None:
    """What is wrong with a submission, what is odd, and what to expect of it."""
    lines = [("✗", "red", fault) for fault in found["faults"]]
    lines += [("!", "yellow", warning) for warning in found["warnings"]]
    if found["never_called"]:
        lines.append(("·", "dim", f"{len(found['never_called'])} classes are never called: F1 of each is 0"))
    if found["drift"] and found["ok"]:
        drift = found["drift"]
        line = f"classes: {drift['distance']:.1%} of the photos from train's shares, by chance {drift['expected']:.1%}"
        lines.append(("·", "dim", line))
    if found["expected_macro_f1"] is not None:
        lines.append(("·", "dim", f"macro F1 to expect, over all classes: {found['expected_macro_f1']:.4f}"))
    verdict = ("✓", "green", f"{found['rows']:,} rows, nothing wrong") if found["ok"] else None
    for mark, style, line in (*lines, *([verdict] if verdict else [])):
        console.print(Text.assemble((mark, style), " ", line), soft_wrap=True)


def print_difference(console: Console, found: dict[str, Any]) -> None:
    """Agreement of two submissions, and the classes that moved most."""
    console.print(
        f"{found['agreement']:.2%} of {found['ids']:,} ids have the same label; {len(found['moved']):,} moved",
        highlight=False,
    )
    for name in ("first", "second"):
        if found[f"only_in_{name}"]:
            console.print(f"{found[f'only_in_{name}']:,} ids stand in the {name} alone", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("class")
    for column in ("first", "second", "both"):
        table.add_column(column, justify="right")
    for each in found["classes"][:COSTLIEST]:
        table.add_row(f"{each['label']} {each['name']}", *(f"{each[name]:,}" for name in ("first", "second", "both")))
    if found["classes"]:
        console.print(table)
