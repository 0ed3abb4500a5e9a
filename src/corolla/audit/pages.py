"""The audit as a page: leaks in a table, twins side by side, labels in conflict and in doubt with their photos.

Takes: `AuditReport`. Gives: one HTML file (`page`). Of long lists the first are shown, and the page says so.
"""

from collections.abc import Sequence

from corolla.audit.report import AuditReport
from corolla.audit.sources import Pixels, pixels
from corolla.classes import NAMES
from corolla.doubts import Doubt
from corolla.likeness import Twin
from corolla.page import Markup, element, figure, grid, page, photo, section, table

MOST = 200
"""Figures of each section: 2 x 200 photos of 150 px take 4 MB."""
_SIDE = 150


def audit_page(report: AuditReport, most: int = MOST) -> bytes:
    """The page."""
    conflicts = {(each.first, each.second) for each in report.conflicts}
    at_odds = [twin for twin in report.twins if (twin.first, twin.second) in conflicts]
    lists = [sorted(each, key=lambda twin: -twin.ssim) for each in (at_odds, report.across(), report.within())]
    doubts = _placed(report)
    shown = {i for each in lists for twin in each[:most] for i in (twin.first, twin.second)}
    images = dict(pixels(report.gathered, shown | {i for i, _ in doubts[:most]}, lambda image: image))
    titles = ("One photo, two labels", "Twins in two splits", "Twins in one split")
    parts = [
        section(f"{title} ({len(each):,})", *_figures(report, each, images, most))
        for title, each in zip(titles, lists, strict=True)
    ]
    if report.doubts is not None:
        parts.insert(1, section(f"Labels in doubt ({len(doubts):,})", *_doubtful(doubts, images, most)))
    return page("Audit", _summary(report), _leaks(report), *parts)


def _summary(report: AuditReport) -> Markup:
    sources = ", ".join(source.name for source in report.gathered.sources)
    exact = sum(twin.exact for twin in report.twins)
    told = (
        f"{sources}: {len(report.gathered):,} records, {len(report.twins):,} pairs of twins ({exact:,} byte for byte)"
    )
    return element("p", f"{told}, {len(report.conflicts):,} of them with two labels.", kind="dim")


def _leaks(report: AuditReport) -> Markup:
    parts = [leak.part for leak in report.leaks]
    rows = [
        (leak.part, f"{leak.records:,}", *(f"{leak.twins[part]:,}" for part in parts), f"{leak.others:,}")
        for leak in report.leaks
    ]
    told = "Records of each line with a twin in each column: what a model that has learned from one split has seen of"
    lead = element("p", f"{told} the other. Counted are records, not pairs.", kind="dim")
    return section("Leaks", lead, table(("split", "records", *parts, "any other"), rows))


def _figures(report: AuditReport, twins: Sequence[Twin], images: dict[int, Pixels], most: int) -> list[Markup]:
    figures = [
        figure([_photo(report, i, images) for i in (t.first, t.second)], *_caption(report, t)) for t in twins[:most]
    ]
    return [*_cut(len(twins), most), grid(figures)]


def _cut(count: int, most: int) -> list[Markup]:
    if not count:
        return [element("p", "None.", kind="dim")]
    return [element("p", f"The first {most:,} of {count:,}; --json lists all.", kind="dim")] if count > most else []


def _photo(report: AuditReport, index: int, images: dict[int, Pixels]) -> Markup:
    record = report.gathered.records[index]
    return photo(images[index], _SIDE, f"record {record.id} of {report.gathered.place(index)}")


def _caption(report: AuditReport, twin: Twin) -> list[object]:
    lines: list[object] = [element("b", _kind(twin))]
    records = [report.gathered.records[i] for i in (twin.first, twin.second)]
    at_odds = len({record.label for record in records} - {None}) > 1
    for i, record in zip((twin.first, twin.second), records, strict=True):
        name = "no label" if record.label is None else f"{record.label} {NAMES[record.label]}"
        told = element("span", name, kind="mark") if at_odds else name
        lines.append(element("span", f"{report.gathered.place(i)} {record.id}: ", told))
    return lines


def _kind(twin: Twin) -> str:
    if twin.exact:
        return "byte for byte"
    how = [f"SSIM {twin.ssim:.2f}"]
    how += [f"features {twin.features:.2f}"] if twin.features is not None else []
    how += ["mirrored"] if twin.mirrored else []
    how += [f"cropped to {twin.kept:.0%}"] if twin.kept < 1 else []
    return ", ".join(how + (["stretched"] if twin.stretched else []))


def _placed(report: AuditReport) -> list[tuple[int, Doubt]]:
    """Doubts with the numbers of their records; those of records that are not here are left out."""
    numbers = {record.id: i for i, record in enumerate(report.gathered.records) if record.id}
    return [(numbers[doubt.id], doubt) for doubt in report.doubts or [] if doubt.id in numbers]


def _doubtful(doubts: Sequence[tuple[int, Doubt]], images: dict[int, Pixels], most: int) -> list[Markup]:
    figures = [
        figure(
            [photo(images[i], _SIDE, f"record {doubt.id}")],
            f"{doubt.id}",
            f"called {NAMES[doubt.label]} ({doubt.given_probability:.0%})",
            element("span", f"likely {NAMES[doubt.likely]} ({doubt.likely_probability:.0%})", kind="mark"),
        )
        for i, doubt in doubts[:most]
    ]
    return [*_cut(len(doubts), most), grid(figures)]
