"""The page in a real browser: photos in, names on the screen; for a phone, the keyboard and a screen reader too."""

import io
from pathlib import Path

import pytest
from live import NAMES, fake, photo, running
from PIL import Image

import browser as chromium
from corolla.config import ServeLimits
from corolla.serve import service

__all__ = ["fake"]

KEY = "a key that is long enough"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


@pytest.fixture(scope="module")
def window():
    if chromium.missing():
        pytest.skip(str(chromium.missing()))
    with chromium.browser() as started:
        yield started


@pytest.fixture
def opened(opened_with_any_model, fake):
    """As `opened_with_any_model`, of servers whose model knows colours alone."""
    return opened_with_any_model


@pytest.fixture
def opened_with_any_model(window):
    """Called for the page of a running server, with options of the browser's context."""
    closing = []

    def at(client, **context):
        held = window.new_context(reduced_motion="reduce", **context)
        held.set_default_timeout(chromium.PATIENCE_MS)
        closing.append(held)
        page, base = held.new_page(), str(client.base_url)
        page.wrong, page.asked = [], []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if "Content Security" in said.text else None)
        page.on(
            "request", lambda one: page.asked.append(one.url) if not one.url.startswith((base, "blob:", "data:")) else 0
        )
        page.goto(base)
        return page

    yield at
    for held in closing:
        held.close()


def file(name, content, kind="image/jpeg"):
    return {"name": name, "mimeType": kind, "buffer": content}


def answered(page, count=1):
    """The headings of the cards, when all are there."""
    page.wait_for_selector(f".card:nth-child({count})")
    page.wait_for_selector(".busy", state="detached")
    return page.locator(".card h2").all_text_contents()


def drop(page, name, content, kind):
    """As a hand does: a file over the page, let go of."""
    transfer = page.evaluate_handle(
        """([name, content, kind]) => {
            const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(content)], name, {type: kind}));
            return held;
        }""",
        [name, list(content), kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", event, {"dataTransfer": transfer})


def assert_clean(page):
    assert page.wrong == [] and page.asked == []


def test_a_photo_is_dropped_and_named(opened):
    with running() as client:
        page = opened(client)
        drop(page, "mine.jpg", photo("red"), "image/jpeg")
        assert answered(page) == [NAMES["red"]]
        assert page.locator(".guesses li").count() == 5
        first = page.locator(".guesses li").first
        assert first.locator(".name").text_content() == NAMES["red"]
        assert first.locator(".share").inner_text().endswith("%")
        assert first.locator(".bar span").evaluate("bar => bar.offsetWidth > 0.9 * bar.parentNode.offsetWidth")
        assert first.locator(".drawing").evaluate("one => one.decode().then(() => one.naturalWidth)") == 112
        assert NAMES["red"] in page.locator("[role=status]").inner_text()
        assert_clean(page)


@pytest.mark.real_data
def test_a_real_photo_is_named_by_the_model_that_ships(opened_with_any_model):
    photos = Path(__file__).parents[3] / "shared" / "data" / "photos" / "artichoke"
    if not photos.is_dir():
        pytest.skip(f"the real photos are not on this machine ({photos})")
    with running() as client:
        page = opened_with_any_model(client)
        drop(page, "mine.jpg", next(photos.iterdir()).read_bytes(), "image/jpeg")
        assert answered(page) == ["artichoke"]
        assert_clean(page)


def test_a_photo_is_pasted(opened):
    with running() as client:
        page = opened(client)
        page.evaluate(
            """(content) => {
                const held = new DataTransfer();
                held.items.add(new File([new Uint8Array(content)], "image.png", {type: "image/png"}));
                document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: held, bubbles: true}));
            }""",
            list(photo("blue", kind="PNG")),
        )
        assert answered(page) == [NAMES["blue"]]


def test_several_photos_good_and_bad(opened):
    """Each has its card; what cannot be seen says so in words, and keeps no other from its answer."""
    with running() as client:
        page = opened(client)
        files = [file("a.jpg", photo("red")), file("notes.jpg", b"no photo"), file("c.jpg", photo("grey"))]
        page.set_input_files("#files", files)
        assert answered(page, 3) == [NAMES["red"], "This did not work", "Not one of mine"]
        failed, unsure = page.locator(".card").nth(1), page.locator(".card").nth(2)
        assert unsure.locator(".word").inner_text().startswith("This does not look like any of the 104 kinds")
        assert unsure.locator(".bar").first.is_hidden() and unsure.locator(".share").first.is_hidden()
        line = "notes.jpg: No JPEG, PNG or WebP: convert it to one of these."
        assert failed.locator(".word").inner_text() == line and failed.locator(".again").is_hidden()
        assert_clean(page)


def test_a_phone(opened):
    with running() as client:
        page = opened(client, **PHONE)
        assert page.locator("#take").is_visible()
        assert page.locator("#camera").get_attribute("capture") == "environment"
        page.set_input_files("#camera", file("IMG_1.jpg", photo("green")))
        assert answered(page) == [NAMES["green"]]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"
        for button in page.locator("button:visible, .button:visible").all():
            box = button.bounding_box()
            assert box["height"] >= 40 and box["width"] >= 40


def test_large_photos_are_made_small_and_upright_before_they_are_sent(opened, monkeypatch):
    """The left half is red, by its EXIF data it is the top."""
    wide = Image.effect_noise((3000, 2000), 60).convert("RGB")
    wide.paste((220, 30, 30), (0, 0, 1500, 2000))
    exif, content = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    wide.save(content, "JPEG", quality=95, exif=exif)
    sent, see = [], service.prepared
    monkeypatch.setattr(service, "prepared", lambda content, *rest: sent.append(content) or see(content, *rest))
    with running() as client:
        page = opened(client)
        page.set_input_files("#files", file("large.jpg", content.getvalue()))
        answered(page)
        small = Image.open(io.BytesIO(sent[0])).convert("RGB")
        assert small.size == (1024, 1536) and len(sent[0]) < len(content.getvalue()) / 3
        assert small.getpixel((512, 100))[0] > 200 and small.getpixel((512, 100))[1] < 60


def choosing(page):
    """The window in which files are chosen, after Enter. A busy machine's browser may have missed the first one."""
    opened = []
    page.on("filechooser", lambda one: opened.append(one))
    for _ in range(5):
        page.keyboard.press("Enter")
        for _ in range(50):
            if opened:
                return opened[0]
            page.wait_for_timeout(100)
    raise AssertionError("Enter opens nothing")


def test_by_keyboard_alone(opened):
    with running() as client:
        page = opened(client)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        choosing(page).set_files(file("a.jpg", photo("red")))
        answered(page)
        names = []
        for _ in range(3):
            page.keyboard.press("Tab")
            names.append(
                page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
            )
        assert "Where did it look?" in names and "Remove a.jpg" in names
        page.locator(".away").focus()
        page.keyboard.press("Enter")
        assert page.locator(".card").count() == 0
        assert page.evaluate("document.activeElement.id") == "files"


def test_a_server_that_is_busy_is_asked_again(opened, fake):
    fake.seconds = 0.5
    with running(ServeLimits(max_waiting=1)) as client:
        page = opened(client)
        page.set_input_files("#files", [file(f"{i}.jpg", photo("red")) for i in range(3)])
        assert answered(page, 3) == [NAMES["red"]] * 3


def test_a_server_that_is_gone(opened):
    with running() as client:
        page = opened(client)
    page.set_input_files("#files", file("a.jpg", photo("red")))
    assert answered(page) == ["This did not work"]
    assert "The server does not answer." in page.locator(".word").inner_text()
    assert page.locator(".again").is_visible()


def test_a_server_with_a_key(opened):
    with running(key=KEY) as client:
        page = opened(client)
        page.set_input_files("#files", file("a.jpg", photo("red")))
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ask:not([hidden])")
        page.locator("#key").fill(KEY)
        page.keyboard.press("Enter")
        assert answered(page) == [NAMES["red"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desk", "phone"])
def test_nothing_serious_for_who_cannot_see_it_well(opened, scheme, device):
    with running() as client:
        page = opened(client, color_scheme=scheme, **device)
        assert chromium.serious(page) == []
        files = [file("a.jpg", photo("red")), file("b.jpg", b"no photo"), file("c.jpg", photo("grey"))]
        page.set_input_files("#files", files)
        answered(page, 3)
        assert chromium.serious(page) == []
        page.goto(f"{client.base_url}/docs")
        assert chromium.serious(page) == [] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
