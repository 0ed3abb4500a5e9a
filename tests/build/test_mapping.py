"""The table of names is whole, sane, and agrees with the competition's classes."""

import csv
import re
from importlib.resources import files
from pathlib import Path

import pytest

from corolla.build.item import Item
from corolla.build.mapping import UNKNOWN, Left, find, label_of, plain, table
from corolla.classes import COUNT, NAMES

TEXT = files("corolla.build").joinpath("mapping.csv").read_text(encoding="utf-8")
ROWS = list(csv.DictReader(TEXT.splitlines()))
SHARED = Path(__file__).parents[3] / "shared" / "classes.csv"


def test_every_row_is_sane():
    assert {row["source"] for row in ROWS} == {"oxford_102", "tf_flowers", "taxon", "openimages", "imagenet"}
    assert len(table()) == len(ROWS), "a name stands twice"
    for row in ROWS:
        assert row["class"] in NAMES or (not row["class"] and row["note"]), f"no class and no reason: {row}"
        if row["source"] == "taxon":
            assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+)?", row["name"]), row


def test_oxford_and_tf_flowers_are_whole():
    assert sorted(int(row["name"]) for row in ROWS if row["source"] == "oxford_102") == list(range(1, 103))
    assert {row["name"] for row in ROWS if row["source"] == "tf_flowers"} == {
        "daisy", "dandelion", "roses", "sunflowers", "tulips",
    }  # fmt: skip


def test_nearly_every_class_has_a_taxon():
    """The others are cultivars, or two classes that no taxon keeps apart."""
    without = set(NAMES) - {row["class"] for row in ROWS if row["source"] == "taxon"}
    assert without == {
        "bishop of llandaff",
        "bolero deep blue",
        "bromelia",
        "orange dahlia",
        "pink-yellow dahlia",
        "rose",
    }


def test_the_competition_s_own_table_agrees():
    if not SHARED.is_file():
        pytest.skip(f"the competition's table is not on this machine ({SHARED})")
    rows = list(csv.DictReader(SHARED.read_text("utf-8").splitlines()))
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        if number := row["oxford_102_label"]:
            entry = find("oxford_102", number)
            assert entry is not None and entry.label == (None if number == "5" else int(row["label"]))


def test_a_species_counts_before_its_genus():
    def seen(*kinds: str) -> object:
        return label_of(Item("i", "inaturalist", "x", kinds, Path("x")))

    assert seen("Iris domestica", "Iris") == (NAMES.index("blackberry lily"), None)
    assert seen("Iris anything", "Iris") == (NAMES.index("iris"), None)
    assert seen("Rosa anything", "Rosa") == Left("Rosa", "garden roses and wild ones are two classes")
    assert seen("Petunia × atkinsiana", "Petunia") == (NAMES.index("petunia"), None)
    assert seen("Corvus corax", "Corvus") == Left("Corvus corax", UNKNOWN)


def test_a_genus_alone_is_no_english_word():
    assert find("openimages", "Iris") is None and find("inaturalist", "Iris") is not None
    for vocabulary in ("openimages", "imagenet", "inaturalist"):
        entry = find(vocabulary, "Rudbeckia hirta")
        assert entry is not None and entry.label == NAMES.index("black-eyed susan")


def test_numbers_of_wordnet_count_before_their_words():
    """Words of one synset are those of others, too: fritillary is a butterfly, rose a colour and a wine."""

    def seen(*kinds: str) -> object:
        return label_of(Item("i", "imagenet", "x", kinds, Path("x")))

    assert seen("n12451915", "fritillary", "checkered lily") == (NAMES.index("fritillary"), None)
    assert seen("n02278210", "fritillary") == Left("n02278210", "fritillary: the butterfly")
    assert seen("n12489815", "bird of paradise", "poinciana") == Left(
        "n12489815", "bird of paradise, poinciana: Caesalpinia"
    )
    numbers = [row["name"] for row in ROWS if row["source"] == "imagenet" and re.fullmatch(r"n\d{8}", row["name"])]
    assert len({find("imagenet", number).label for number in numbers} - {None}) > 60  # pyright: ignore


def test_open_images_names_most_classes():
    named = {row["class"] for row in ROWS if row["source"] == "openimages" and row["class"]}
    assert len(named) > 80


@pytest.mark.parametrize("kind", ["colt's foot", "Colts Foot", "colt’s_foot", " colt's-foot ", "11"])
def test_spellings_of_a_class(kind):
    entry = find("labels", kind)
    assert entry is not None and entry.label == 11


@pytest.mark.parametrize("kind", [str(COUNT), "-1", "１", "", "1.0", "flower"])
def test_what_is_no_class(kind):
    assert find("labels", kind) is None


def test_plain_names_of_the_classes_differ():
    assert len({plain(name) for name in NAMES}) == COUNT
