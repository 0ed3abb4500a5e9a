"""A page escapes what it is told, and holds its photos."""

import numpy as np

from corolla.page import Markup, bars, element, page, photo, table, text


def test_text_is_escaped_and_markup_is_not_escaped_twice():
    assert element("p", "a < b", element("b", "&")) == "<p>a &lt; b<b>&amp;</b></p>"
    assert isinstance(element("p"), Markup) and text("\udcff") == "\\udcff"
    made = table(("x", "y"), [("<i>", 1)], "a & b")
    assert '<th scope="row">&lt;i&gt;</th><td>1</td>' in made and "<caption>a &amp; b</caption>" in made
    assert element("a", "x", href='"', aria_label="<", id=None) == '<a href="&quot;" aria-label="&lt;">x</a>'


def test_photos_are_inside_and_no_larger_than_asked():
    made = photo(np.zeros((40, 80, 3), np.uint8), 20, 'a "photo"')
    assert 'src="data:image/jpeg;base64,' in made and 'width="20" height="10"' in made and "&quot;photo&quot;" in made


def test_bars_have_their_numbers():
    made = bars([2, 0], ["a<", "b"])
    assert (
        bars([1], ["a"], told="what's <told>").startswith("<svg")
        and made.count("<rect") == 2
        and "a&lt;" in made
        and 'width="0.0"' in made
    )
    assert bars([], []).startswith("<svg")


def test_a_page_is_light_and_dark():
    made = page("T<", element("p", "x")).decode()
    assert (
        made.startswith("<!DOCTYPE html>") and "prefers-color-scheme: dark" in made and "<title>T&lt;</title>" in made
    )
