"""The sections with photos: every mistake with what the run thought of, and where it looked.

Takes: a `Told`, photos of its records and what the model sees in them. Gives: pieces of a page.
"""

from collections.abc import Sequence

import numpy as np

from corolla.page import Markup, element, figure, grid, photo, section, share
from corolla.report.reading import Told
from corolla.report.seen import Near, Seen

MOST = 100
"""Mistakes that are shown with all that is known of them; of more, those that the run was surest of."""

TOP = 5
LOOKS = 6
"""Right photos, and wrong ones, whose maps are shown."""

_SIDE, _NEAR = 144, 84


def mistakes(told: Told, seen: Seen, title: str, name: str) -> Markup:
    """A card for each mistake, the one that the run was surest of first."""
    wrong = told.wrong[:MOST].tolist()
    if not wrong:
        return section(title, element("p", "There are none."), name=name)
    said = ["The mistakes that the run was surest of come first."]
    if len(told.wrong) > MOST:
        said.append(f"The first {MOST} of {len(told.wrong):,} are shown.")
    if told.doubts:
        said.append(
            "“Likely mislabelled”: the run gives another class at least the probability that this class has on average "
            "for its own photos (confident learning: Northcutt et al., 2021)."
        )
    if seen.compared:
        said.append(
            f"Below: the photos nearest to it by the features that the head takes (cosine), of {seen.compared:,} that "
            "the run has learned from, of the classes in question."
        )
    pieces = [element("p", " ".join(said), kind="dim"), *([element("p", seen.why)] if seen.why else [])]
    return section(title, *pieces, grid([_card(told, seen, i) for i in wrong]), name=name)


def _card(told: Told, seen: Seen, i: int) -> Markup:
    record, label, called = told.predictions.ids[i], int(told.predictions.labels[i]), int(told.predicted[i])
    names = told.classes
    image = seen.images.get(i)
    about = f"record {record}: {names[label]}, called {names[called]}"
    shown = [element("div", photo(image, _SIDE, about))] if image is not None else []
    doubt = [element("p", element("span", "Likely mislabelled", kind="mark"))] if record in told.doubts else []
    head = element("p", element("b", names[label]), ", called ", element("span", names[called], kind="mark"))
    words = [
        head,
        *doubt,
        _top(told, i),
        *_near(told, seen.near.get(i, [])),
        element("p", f"record {record}", kind="dim"),
    ]
    return element("div", *shown, element("div", *words), kind="card")


def _top(told: Told, i: int) -> Markup:
    probabilities, label = told.predictions.probabilities[i], int(told.predictions.labels[i])
    best = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    rows = [element("li", *_guess(told, probabilities[each], each, label)) for each in best]
    if label not in best:
        place = int((probabilities > probabilities[label]).sum()) + 1
        rows.append(element("li", *_guess(told, probabilities[label], label, label), f", place {place}"))
    return element("ol", *rows)


def _guess(told: Told, probability: float, each: int, label: int) -> tuple[object, ...]:
    name = element("b", told.classes[each]) if each == label else told.classes[each]
    return share(float(probability)), f"{percent(probability)} ", name


def percent(probability: float) -> str:
    """As a person reads it: none that is not 0 looks like it."""
    return "< 0.1%" if probability < 0.0005 else f"{probability:.1%}"


def _near(told: Told, near: Sequence[Near]) -> list[Markup]:
    figures = []
    for each in near:
        name = told.classes[each.taught.label]
        about = f"learned from record {each.taught.id}: {name}"
        figures.append(figure([photo(each.taught.image, _NEAR, about, 75)], f"{name}, {each.similarity:.2f}"))
    return [grid(figures)] if figures else []


# Where it looked --------------------------------------------------------------------------------------------------


def looked_at(told: Told) -> list[tuple[int, int]]:
    """(record, label) of the maps that are shown: right photos, evenly chosen by how sure the run was; then wrong ones,
    each for what it was called and for what it is.
    """
    right = np.flatnonzero(told.predicted == told.predictions.labels)
    sure = told.predictions.probabilities[right, told.predicted[right]]
    chosen = (
        right[np.argsort(-sure, kind="stable")][np.linspace(0, max(len(right) - 1, 0), LOOKS).astype(int)]
        if len(right)
        else right
    )
    found = [(int(i), int(told.predicted[i])) for i in dict.fromkeys(chosen.tolist())]
    for i in told.wrong[:LOOKS].tolist():
        found += [(i, int(told.predicted[i])), (i, int(told.predictions.labels[i]))]
    return found


def looks(told: Told, seen: Seen, title: str, name: str) -> Markup:
    """Maps of what in a photo speaks for a label."""
    if not seen.maps:
        return section(title, element("p", seen.why or "No maps were made."), name=name)
    how = (
        "Where it is yellow, the photo speaks for the label below. The maps are exact: the head is a weighted sum of "
        "means over places, and each place's part of the logit is shown (class activation mapping: Zhou et al., 2016)."
        if seen.exact
        else "Where it is yellow, the label's logit falls most when a grey square covers the place (occlusion: Zeiler "
        "and Fergus, 2014)."
    )
    by_record: dict[int, list[int]] = {}
    for i, label in looked_at(told):
        by_record.setdefault(i, []).append(label)
    figures = [_look(told, seen, i, labels) for i, labels in by_record.items()]
    return section(title, element("p", how, kind="dim"), grid(figures, wide=True), name=name)


def _look(told: Told, seen: Seen, i: int, labels: Sequence[int]) -> Markup:
    true = told.classes[told.predictions.labels[i]]
    shown = [photo(seen.images[i], _SIDE, f"a photo of {true}")]
    shown += [photo(seen.maps[i, label], _SIDE, f"what speaks for {told.classes[label]}") for label in labels]
    sure = told.predictions.probabilities[i]
    said = [f"{told.classes[label]} ({percent(sure[label])})" for label in labels]
    if len(labels) == 1:
        return figure(shown, element("b", true), f"right: {said[0]}")
    return figure(
        shown,
        element("b", true),
        element("span", f"called {said[0]}", kind="mark"),
        f"then for {said[1]}, on the same scale",
    )
