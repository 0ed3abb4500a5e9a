"""The model inside the package: what is packed comes back, damage is found, and the wheel holds it."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from corolla import shipped
from corolla.errors import RunError
from corolla.identify import identify
from corolla.interpreter import Interpreter
from corolla.open_set import Known, OpenSet
from corolla.run import RunFolder
from corolla.shipped import FILE, SUM, load, pack
from test_open_set import clusters


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory):
    """A folder with a model."""
    folder = tmp_path_factory.mktemp("packed")
    pack(finished, folder, 0.7, OpenSet("nearness", 0.25, Known.of(*clusters())))
    return folder


def test_what_is_packed_comes_back(finished, packed):
    found, run = load(packed), RunFolder(finished)
    assert (found.names, found.temperature, found.image_size) == (run.names(), 0.7, 32)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    wanted = Interpreter(run.graph(), run.best().arrays)(images)  # pyright: ignore
    features, logits = found.model.with_features(images)
    np.testing.assert_allclose(logits, wanted, atol=0.02)
    np.testing.assert_array_equal(logits, found.model(images))
    kernel, bias = (run.best().arrays[f"head/{part}"] for part in ("kernel", "bias"))
    np.testing.assert_allclose(features @ kernel + bias, logits, atol=0.01)
    known, again = Known.of(*clusters()), found.open_set
    assert again is not None and (again.score, again.limit) == ("nearness", 0.25)
    x, _ = clusters(seed=3)
    np.testing.assert_allclose(again(x, x), OpenSet("nearness", 0.25, known)(x, x), atol=2e-3)


def test_vectors_keep_their_precision(packed):
    with np.load(packed / FILE, allow_pickle=False) as stored:
        kinds = {name: stored[name].dtype for name in stored.files if stored[name].ndim == 1 and name != "about"}
        assert set(kinds.values()) == {np.dtype(np.float32)} and any("variance" in name for name in kinds)
        assert stored["weights/head/kernel"].dtype == np.float16


def test_the_same_model_gives_the_same_bytes(finished, packed, tmp_path):
    pack(finished, tmp_path, 0.7, OpenSet("nearness", 0.25, Known.of(*clusters())))
    assert (tmp_path / FILE).read_bytes() == (packed / FILE).read_bytes()
    stated = (tmp_path / SUM).read_text()
    assert stated == f"{hashlib.sha256((packed / FILE).read_bytes()).hexdigest()}  {FILE}\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(packed, tmp_path, place, bit):
    content = bytearray((packed / FILE).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / SUM).write_bytes((packed / SUM).read_bytes())
    with pytest.raises(
        RunError, match=rf"{FILE} is damaged: its SHA-256 is not the one in {SUM}: install Corolla anew$"
    ):
        load(tmp_path)


def with_sum(folder, content: bytes) -> None:
    """A file whose SHA-256 is right."""
    (folder / FILE).write_bytes(content)
    (folder / SUM).write_text(hashlib.sha256(content).hexdigest())


def test_a_file_that_is_no_model(packed, tmp_path):
    with pytest.raises(RunError, match=r"holds no model of its own: name a run with --run RUN$"):
        load(tmp_path)
    with_sum(tmp_path, b"PK")
    with pytest.raises(RunError, match=rf"{FILE} is damaged \("):
        load(tmp_path)
    (tmp_path / SUM).write_text("")
    with pytest.raises(RunError, match=rf"{FILE} cannot be read or lacks its SHA-256"):
        load(tmp_path)


def test_a_file_of_another_version(packed, tmp_path, monkeypatch):
    arrays = dict(np.load(packed / FILE, allow_pickle=False))
    about = json.loads(arrays.pop("about").tobytes())
    with_sum(tmp_path, shipped._packed({**about, "version": 2}, arrays))
    with pytest.raises(RunError, match=r"was written by another version of Corolla \(2, not 1\)$"):
        load(tmp_path)


def test_what_cannot_be_shipped(finished, tmp_path, monkeypatch):
    with pytest.raises(RunError, match=r"is no run folder|cannot be read"):
        pack(tmp_path / "nothing", tmp_path)
    monkeypatch.setattr(shipped, "LARGEST_BYTES", 1000)
    with pytest.raises(RunError, match=r"would take [\d,]+ bytes, the limit is 1,000: ship less$"):
        pack(finished, tmp_path)
    monkeypatch.setattr(RunFolder, "finished", lambda self: False)
    with pytest.raises(RunError, match=r"cannot be shipped: it is not finished$"):
        pack(finished, tmp_path)
    monkeypatch.setattr(RunFolder, "graph", lambda self: None)
    with pytest.raises(RunError, match=r"cannot be shipped: its model has layers that NumPy cannot work off$"):
        pack(finished, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_weights_that_do_not_fit_into_16_bits(value):
    with pytest.raises(RunError, match=r"^weights/a holds values that are no numbers, or too large for 16 bits"):
        shipped._smaller("weights/a", np.full((2, 2), value))


def test_reading_needs_neither_jax_nor_keras():
    program = "import sys, corolla.shipped; assert not {'jax', 'keras', 'scipy', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def own():
    """The package's own model."""
    if not (shipped.folder() / FILE).is_file():
        pytest.skip("this checkout holds no model yet")
    return load()


def test_the_package_s_own_model_is_whole_and_small(own):
    assert len(own.names) == 104 and own.open_set is not None
    assert (shipped.folder() / FILE).stat().st_size <= shipped.LARGEST_BYTES
    assert "wild geranium" in (shipped.folder() / shipped.CARD).read_text("utf-8")


def test_the_package_s_own_model_tells_a_temple_from_a_flower(own, tmp_path):
    for name in ("china.jpg", "flower.jpg"):
        Image.fromarray(load_sample_image(name)).save(tmp_path / f"{name}.png")
    temple, flower = identify(None, [tmp_path])
    assert temple.unknown and flower.score > temple.score  # a dahlia of a kind that it may not know


@pytest.mark.real_data
def test_the_package_s_own_model_names_full_size_photos(own, real_data):
    found = [(one, one.path.parent.name) for one in identify(None, [real_data.parent / "photos"], top=1)]
    assert len(found) > 150
    assert np.mean([one.top[0].name == name for one, name in found]) > 0.9
    assert np.mean([bool(one.unknown) for one, _ in found]) < 0.08
