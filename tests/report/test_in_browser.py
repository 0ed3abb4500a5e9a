"""The page in a real browser, without a network: it shows, sorts and filters, and leaves nobody out."""

import pytest

from browser import PATIENCE_MS, browser, missing, refuse_network, serious
from corolla.report import report

if (reason := missing()) is not None:
    pytest.skip(reason, allow_module_level=True)

pytestmark = pytest.mark.xdist_group("runs")


@pytest.fixture(scope="module")
def path(finished, probed, flowers, tmp_path_factory):
    """A page on two runs, with photos."""
    out = tmp_path_factory.mktemp("browser") / "report.html"
    report([finished, probed], flowers, out, compared=20)
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def opened(chromium, path):
    """Opens the page; what it asks of a network and says in the console is nothing."""
    pages = []

    def how(**options):
        page = chromium.new_page(**options)
        page.set_default_timeout(PATIENCE_MS)
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        pages.append((page, refuse_network(page), said))
        page.goto(path.as_uri())
        return page

    yield how
    for page, asked, said in pages:
        assert (asked, said) == ([], [])
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, scheme):
    assert serious(opened(color_scheme=scheme)) == []


def column(page, number):
    return page.locator("table.sortable").first.locator(f"tbody tr > :nth-child({number})").all_text_contents()


def test_the_table_is_sorted_by_any_column_and_filtered(opened):
    page = opened()
    before = column(page, 1)
    records = page.locator("table.sortable").first.get_by_role("button", name="records")
    records.click()
    assert [int(each) for each in column(page, 4)] == sorted(map(int, column(page, 4)), reverse=True)
    assert page.locator("th[aria-sort=descending]").count() == 1
    records.press("Enter")
    assert [int(each) for each in column(page, 4)] == sorted(map(int, column(page, 4)))
    page.locator("table.sortable").first.get_by_role("button", name="class").click()
    assert column(page, 1) == sorted(before)
    page.get_by_label("Show names with").first.fill("ROSE")
    shown = page.locator("table.sortable").first.locator("tbody tr:visible > :first-child").all_text_contents()
    assert shown and all("rose" in each for each in shown)


def test_it_reads_well_without_a_script(opened):
    page = opened(java_script_enabled=False)
    assert page.get_by_role("button").count() == 0 and page.locator("table.sortable").first.is_visible()
    assert page.get_by_role("heading", level=1).inner_text().startswith("Report: ")


def test_every_photo_is_shown(opened):
    page = opened()
    sizes = page.evaluate("[...document.images].map(each => [each.complete, each.naturalWidth])")
    assert sizes and all(done and width for done, width in sizes)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_hangs_over_the_side(opened, width):
    """Wide tables and the matrix scroll by themselves."""
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_the_whole_table_stands(opened):
    page = opened()
    page.emulate_media(media="print")
    table = page.locator("table.sortable").first
    assert table.bounding_box()["height"] <= table.locator("xpath=..").bounding_box()["height"] + 1
    assert not page.locator("nav").is_visible() and len(page.pdf(format="A4")) > 10_000
