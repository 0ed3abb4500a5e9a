"""The compiled model says what `corolla predict` and `corolla identify` say, whatever the size of the batch."""

import numpy as np
import pytest

from corolla import shipped
from corolla.errors import RunError
from corolla.interpreter import Interpreter
from corolla.open_set import Known, OpenSet
from corolla.run import RunFolder
from corolla.serve.engine import Engine, find


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def of_run(finished):
    return Engine(find(finished))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 31, 32])
def test_batches_of_any_size(finished, of_run, n):
    run = RunFolder(finished)
    wanted = Interpreter(run.graph(), run.best().arrays)(images(n))  # pyright: ignore
    features, logits = of_run(images(n))
    assert features is None and of_run.most >= 32
    np.testing.assert_allclose(logits, wanted, atol=1e-4)


def test_a_packed_model_with_what_it_takes_to_believe_it(finished, tmp_path, monkeypatch):
    features = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)
    run = RunFolder(finished)
    width = run.best().arrays["head/kernel"].shape[0]
    features = np.random.default_rng(0).normal(size=(40, width)).astype(np.float32)
    shipped.pack(finished, tmp_path, 0.5, OpenSet("nearness", 0.2, Known.of(features, np.arange(40) % 4)))
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    found, own = find(None), shipped.load()
    assert (own.built, own.levels) == ("micro", run.settings().levels)
    engine = Engine(found)
    seen, logits = engine(images(5))
    wanted_features, wanted = own.model.with_features(images(5))
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    np.testing.assert_allclose(seen, wanted_features, atol=1e-4)
    told, identified = engine.namer(seen, logits, 5), own.namer()(wanted_features, wanted, 5)
    assert [one.top[0].label for one in told] == [one.top[0].label for one in identified]
    assert [one.unknown for one in told] == [one.unknown for one in identified]


def test_a_model_that_is_built_otherwise_is_refused(finished, tmp_path, monkeypatch):
    shipped.pack(finished, tmp_path)
    own = shipped.load(tmp_path)
    monkeypatch.setattr(shipped, "load", lambda: shipped.Shipped(**{**vars(own), "levels": 1}))
    with pytest.raises(RunError, match=r"micro is built otherwise by this version of Corolla"):
        Engine(find(None))


def test_the_package_s_own_model_is_built_as_its_file_says():
    """Without compiling it: the graph of what Keras builds is the graph in the file."""
    from corolla.mesh import make_mesh

    if not (shipped.folder() / shipped.FILE).is_file():
        pytest.skip("this checkout holds no model yet")
    model = find(None).build(make_mesh())
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict_on_batch(image), shipped.load().model(image), atol=1e-3)
