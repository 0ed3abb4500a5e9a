"""The addresses and their answers, with a model that needs no compiling; nothing but the model is replaced."""

import base64
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from live import NAMES, SIDE, FakeEngine, fake, photo, running
from PIL import Image

from corolla import classes
from corolla.config import ServeLimits
from corolla.errors import RunError, WishError
from corolla.serve import service
from corolla.serve.api import PAGE
from corolla.serve.guard import HEADERS, ROUTES
from corolla.serve.schema import OneKind, OnePhoto

__all__ = ["fake"]

KEY = "a key that is long enough"


@pytest.fixture
def client(fake):
    with opened() as client:
        yield client


def opened(limits=None, key=None, wait=True):
    return running(limits, key, wait=wait)


def ask(client, body, query="", **headers):
    return client.post(f"/v1/identify{query}", content=body, headers=headers)


def line(answer, status):
    """The one line of a refusal."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"] and answer.text.count("\n") == 1
    return answer.json()["error"]


@pytest.mark.parametrize("colour", NAMES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_named(client, colour, kind):
    answer = ask(client, photo(colour, kind=kind), "?top=3")
    told = answer.json()
    assert answer.status_code == 200 and OnePhoto.model_validate(told)
    assert told["top"][0]["name"] == NAMES[colour] and told["top"][0]["probability"] > 0.9
    assert len(told["top"]) == 3 and told["unknown"] is False and told["score"] > told["limit"]


def test_what_is_none_of_the_kinds(client):
    told = ask(client, photo("grey")).json()
    assert told["unknown"] is True and told["score"] < told["limit"] and len(told["top"]) == 5


def test_a_list_is_answered_by_a_list(client):
    bodies = [photo("red"), b"no photo", photo("blue")]
    body = json.dumps([base64.b64encode(one).decode() for one in bodies])
    first, second, third = ask(client, body, **{"Content-Type": "application/json"}).json()
    assert first["top"][0]["name"] == NAMES["red"] and third["top"][0]["name"] == NAMES["blue"]
    assert second == {"error": "the photo: no JPEG, PNG or WebP: convert it to one of these"}
    address = json.dumps(["data:image/jpeg;base64," + base64.b64encode(photo("green")).decode()])
    (only,) = ask(client, address, **{"Content-Type": "application/json; charset=utf-8"}).json()
    assert only["top"][0]["name"] == NAMES["green"]


def test_a_photo_is_seen_as_it_is_meant(client):
    """Upright by its EXIF data, CMYK as RGB."""
    wide = Image.new("RGB", (90, 60), (220, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    wide.save(content, "JPEG", exif=exif)
    assert ask(client, content.getvalue()).json()["top"][0]["name"] == NAMES["red"]
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (30, 30, 220)).convert("CMYK").save(content, "JPEG")
    assert ask(client, content.getvalue()).json()["top"][0]["name"] == NAMES["blue"]


REFUSED = [
    (b"", {}, 422, "the body is empty: send a photo (JPEG, PNG or WebP)"),
    (b"hello", {}, 415, "the photo: no JPEG, PNG or WebP: convert it to one of these"),
    (photo("red")[:200], {}, 422, "the photo: damaged ("),
    (photo("red"), {"Content-Type": "text/html"}, 415, "Content-Type 'text/html' is not read here: send the photo "),
    (photo("red"), {"Content-Type": "multipart/form-data; boundary=x"}, 415, "Content-Type 'multipart/form-data' is "),
    (b"{", {"Content-Type": "application/json"}, 422, "the body is no JSON: send a list of photos"),
    (b"[" * 100_000, {"Content-Type": "application/json"}, 422, "the body is no JSON: send a list of photos"),
    (b"{}", {"Content-Type": "application/json"}, 422, "the JSON is no list of texts: send a list of photos"),
    (b"[]", {"Content-Type": "application/json"}, 422, "the JSON is no list of texts"),
    (b"[1]", {"Content-Type": "application/json"}, 422, "the JSON is no list of texts"),
    (b'["?"]', {"Content-Type": "application/json"}, 422, "photo 1 is no base64 text"),
    (
        json.dumps(["aa"] * 40).encode(),
        {"Content-Type": "application/json"},
        413,
        "40 photos at a time, the limit is 32",
    ),
]


@pytest.mark.parametrize(("body", "headers", "status", "wanted"), REFUSED)
def test_what_is_refused(client, body, headers, status, wanted):
    assert line(ask(client, body, **headers), status).startswith(wanted)


@pytest.mark.parametrize("query", ["?top=0", "?top=105", "?top=x", "?saliency=perhaps"])
def test_parameters_that_make_no_sense(client, query):
    assert line(ask(client, photo(), query), 422).startswith(query[1:].split("=")[0])


def test_other_addresses_and_methods(client):
    assert line(client.get("/nowhere"), 404) == "GET /nowhere: not found; /docs tells what there is"
    assert line(client.get("/v1/identify"), 405).startswith("GET /v1/identify: method not allowed")
    assert line(client.get("/page/%2e%2e/api.py"), 404)


def test_more_pixels_than_the_limit(fake):
    with opened(ServeLimits(max_megapixels=0.01)) as client:
        assert line(ask(client, photo(side=120)), 413) == (
            "the photo: 120x120 px, the limit is 0.01 megapixels: make it smaller"
        )
        assert ask(client, photo(side=90)).status_code == 200


def test_a_bomb_is_refused_by_its_header(client):
    content = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(content, "PNG")
    assert len(content.getvalue()) < 1e6
    assert line(ask(client, content.getvalue()), 413).endswith("make it smaller")


def test_more_bytes_than_the_limit(fake):
    with opened(ServeLimits(max_megabytes=0.01)) as client:
        wanted = "the body is larger than 0.01 MB: send less at a time"
        assert line(ask(client, bytes(20_000)), 413) == wanted
        assert line(client.post("/v1/identify", content=iter([bytes(9_000), bytes(9_000)])), 413) == wanted


def test_nothing_is_answered_before_the_model_is_ready(fake, monkeypatch):
    gate = []

    def slow(run):
        while not gate:
            time.sleep(0.01)

    monkeypatch.setattr(service, "find", slow)
    with opened(wait=False) as client:
        answer = client.post("/v1/identify", content=photo())
        assert line(answer, 503) == "the model is being loaded: try again in a moment"
        assert answer.headers["retry-after"] == "1"
        assert client.get("/health").json() == {"status": "ok"} and client.get("/ready").status_code == 503
        assert "corolla_ready 0" in client.get("/metrics").text
        gate.append(True)
        while client.get("/ready").status_code != 200:
            time.sleep(0.01)
        assert ask(client, photo()).status_code == 200


def test_photos_of_many_requests_share_batches(fake):
    fake.seconds = 0.1
    with opened() as client:
        engine = client.service().engine
        with ThreadPoolExecutor(24) as many:
            told = list(many.map(lambda i: ask(client, photo(list(NAMES)[i % 3])).json(), range(24)))
        assert [one["top"][0]["name"] for one in told] == [list(NAMES.values())[i % 3] for i in range(24)]
        assert sum(engine.batches) == 24 and len(engine.batches) < 12 and max(engine.batches) > 2


def test_more_than_may_wait(fake):
    fake.seconds = 0.3
    with opened(ServeLimits(max_client_waiting=4)) as client, ThreadPoolExecutor(12) as many:
        answers = list(many.map(lambda _: ask(client, photo()), range(12)))
        refused = [one for one in answers if one.status_code == 429]
        assert refused and len(refused) + sum(one.status_code == 200 for one in answers) == 12
        assert line(refused[0], 429).endswith("photos from your address are in work already: wait for their answers")
    with opened(ServeLimits(max_waiting=4)) as client, ThreadPoolExecutor(12) as many:
        answers = list(many.map(lambda _: ask(client, photo()), range(12)))
        refused = [one for one in answers if one.status_code == 503]
        assert refused and refused[0].headers["retry-after"] == "1"
        assert client.service().places.taken == 0


def test_an_answer_that_takes_too_long(fake):
    fake.seconds = 1.0
    with opened(ServeLimits(answer_seconds=0.1)) as client:
        assert line(ask(client, photo()), 503) == "no answer within 0.1 s: try again in a moment"
        assert client.service().places.taken == 0


def test_a_fault_of_the_model_is_told_without_its_insides(fake, caplog):
    fake.broken = True
    with opened() as client:
        assert line(ask(client, photo()), 500) == "a fault of this server; its log says more"
        assert "the device is gone" in caplog.text
        client.service().engine.broken = False
        assert ask(client, photo()).status_code == 200


# Keys, headers, figures -------------------------------------------------------------------------------------------


def test_a_key_is_wanted_where_there_is_one(fake):
    with opened(key=KEY) as client:
        for wrong in ({}, {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer ü"}, {"Authorization": KEY}):
            given = {name: value.encode("utf-8") for name, value in wrong.items()}
            answer = ask(client, photo(), **given)
            assert line(answer, 401) == "this server wants its key: send the header Authorization: Bearer KEY"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/v1/classes", headers=given).status_code == 401
            assert client.get("/metrics", headers=given).status_code == 401
            assert client.post("/v1/reload", headers=given).status_code == 401
        right = {"Authorization": f"Bearer {KEY}"}
        assert ask(client, photo(), **right).status_code == 200
        assert client.get("/metrics", headers=right).status_code == 200
        for free in ("/", "/health", "/ready", "/docs", "/page/page.js"):
            assert client.get(free).status_code == 200


def test_every_answer_has_the_safe_headers(client):
    for path in ("/", "/health", "/nowhere", "/page/page.css", "/docs", "/metrics", "/v1/identify"):
        answer = client.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers
    assert client.get("/health").headers["cache-control"] == "no-store"


def test_the_pages_load_nothing_from_elsewhere():
    for path in PAGE.glob("*.*"):
        text = path.read_text("utf-8")
        found = [word for word in text.replace("http://www.w3.org/2000/svg", "").split() if "://" in word]
        assert all("http://127.0.0.1" in word for word in found), (path, found)
        if path.suffix == ".html":
            assert "<style" not in text and " style=" not in text and " on" + "click" not in text
            assert text.count("<script") == text.count("<script src=")


def test_the_drawings_are_there_and_small():
    sizes = [path.stat().st_size for path in sorted((PAGE / "drawings").glob("*.webp"))]
    assert len(sizes) == classes.COUNT and max(sizes) <= 4_000 and sum(sizes) < 400_000


def test_kinds_and_their_drawings(client):
    kinds = client.get("/v1/classes").json()
    assert [one["name"] for one in kinds] == list(classes.NAMES)
    assert all(OneKind.model_validate(one) for one in kinds)
    assert client.get(kinds[100]["drawing"]).headers["content-type"] == "image/webp"


def test_figures(client):
    ask(client, photo())
    ask(client, b"")
    ask(client, photo("grey"))
    client.get("/made/up/by/a/stranger")
    lines = client.get("/metrics").text.splitlines()
    for wanted in (
        'corolla_requests_total{route="/v1/identify",status="200"} 2',
        'corolla_requests_total{route="/v1/identify",status="422"} 1',
        'corolla_requests_total{route="other",status="404"} 1',
        'corolla_photos_total{result="named"} 1',
        'corolla_photos_total{result="unknown"} 1',
        'corolla_request_seconds_bucket{route="/v1/identify",le="+Inf"} 3',
        "corolla_batch_photos_count 2",
        'corolla_model_info{model="fake"} 1',
        "corolla_photos_in_work 0",
    ):
        assert wanted in lines
    assert not any("stranger" in one for one in lines)


def test_the_openapi_document_and_the_page_about_it_name_the_same(client):
    document = client.get("/openapi.json").json()
    page = (PAGE / "docs.html").read_text("utf-8")
    for path, methods in document["paths"].items():
        assert path in ROUTES
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page
    answers = document["paths"]["/v1/identify"]["post"]["responses"]
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} == set(answers)
    assert set(document["paths"]["/v1/identify"]["post"]["requestBody"]["content"]) >= {
        "image/jpeg",
        "application/json",
    }


# Reloading --------------------------------------------------------------------------------------------------------


def test_a_reload_swaps_the_model_or_keeps_it(fake, monkeypatch):
    with opened(key=KEY) as client:
        right = {"Authorization": f"Bearer {KEY}"}
        before = client.service().engine
        assert client.post("/v1/reload", headers=right).json() == {"status": "reloaded", "model": "fake"}
        after = client.service().engine
        assert after is not before

        def tampered(run):
            raise RunError("flowers104.npz is damaged: its SHA-256 is not the one in it")

        monkeypatch.setattr(service, "find", tampered)
        told = line(client.post("/v1/reload", headers=right), 503)
        assert told == "the model in use stays: flowers104.npz is damaged: its SHA-256 is not the one in it"
        assert client.service().engine is after and ask(client, photo(), **right).status_code == 200
        text = client.get("/metrics", headers=right).text
        assert 'corolla_reloads_total{result="done"} 1' in text and 'corolla_reloads_total{result="failed"} 1' in text


def test_without_a_key_nobody_reloads_over_the_network(client):
    assert line(client.post("/v1/reload"), 403).startswith("reloading over the network wants a server with a key")


def test_photos_that_wait_are_answered_by_the_model_they_were_made_for(fake, monkeypatch):
    """A reload may bring another size of images."""
    fake.seconds = 0.2
    with opened(key=KEY) as client, ThreadPoolExecutor(12) as many:
        right = {"Authorization": f"Bearer {KEY}"}
        asked = [many.submit(ask, client, photo(), **right) for _ in range(6)]
        time.sleep(0.05)

        class Other(FakeEngine):
            image_size = SIDE

            def __init__(self, found=None):
                super().__init__(found, "other")

        monkeypatch.setattr(service, "Engine", Other)
        assert client.post("/v1/reload", headers=right).json()["model"] == "other"
        assert {one.result().status_code for one in asked} == {200}
        assert ask(client, photo(), **right).json()["model"] == "other"


@pytest.mark.parametrize("name", ["max_megabytes", "max_photos", "max_waiting", "upload_seconds"])
def test_limits_that_make_no_sense(name):
    with pytest.raises(WishError, match=f"^--{name.replace('_', '-')} 0: must be more than 0$"):
        ServeLimits(**{name: 0})
