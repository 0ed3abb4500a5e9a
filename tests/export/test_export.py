"""A run as a file: others load it without Corolla, and it says the same; what differs gets no name."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from corolla import classes, shipped
from corolla import export as exporting
from corolla.cli import main
from corolla.errors import RunError, WishError
from corolla.export import KINDS, checking, export, litert
from corolla.export.source import of_run, of_shipped
from corolla.images import load_split
from corolla.judge import judge
from corolla.records.shards import find_split
from corolla.reporter import SILENT
from corolla.run import RunFolder
from flow import flower

KERAS = """
import sys, numpy, keras
model = keras.saving.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict_on_batch(numpy.load(sys.argv[2])))
assert all(type(layer).__module__.startswith("keras") for layer in model.layers)
"""

JAX = """
import sys, numpy, jax
from jax import export
program = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
assert program.platforms == ("cpu", "cuda", "tpu")
images = numpy.load(sys.argv[2])
logits = program.call(images)
assert numpy.abs(program.call(images[:1]) - logits[:1]).max() < 1e-4
assert numpy.abs(program.call(images[3:10]) - logits[3:10]).max() < 1e-4
assert not [name for name in sys.modules if name.startswith("keras")]
numpy.save(sys.argv[3], logits)
"""

ONNX = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
numpy.save(sys.argv[3], session.run(["logits"], {"images": numpy.load(sys.argv[2])})[0])
assert not [name for name in sys.modules if name.startswith(("keras", "jax"))]
"""

SAFETENSORS = """
import json, sys, numpy
from safetensors import safe_open
from corolla.graph import from_json
from corolla.interpreter import Interpreter
with safe_open(sys.argv[1], "numpy") as file:
    arrays, told = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
run = Interpreter(from_json(json.loads(told["graph"]), sys.argv[1]), arrays)
numpy.save(sys.argv[3], run(numpy.load(sys.argv[2])))
assert not [name for name in sys.modules if name.startswith(("keras", "jax"))]
"""

READERS = {"keras": KERAS, "stablehlo": JAX, "onnx": ONNX, "weights": SAFETENSORS, "litert": litert.ANSWERING}


def blocks(page: Path) -> list[str]:
    """The Python examples of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def needs(format: str) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install corolla[onnx])")
    if format == "litert" and find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (pip install corolla[tensorflow])")


def told(format: str, path: Path) -> dict:
    """What a file says of itself."""
    if format in ("keras", "stablehlo", "litert"):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("corolla.json"))
    if format == "weights":
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            return json.loads(file.metadata()["corolla"])
    import onnx

    texts = {each.key: each.value for each in onnx.load(path).metadata_props}
    as_json = ("labels", "image_size_px", "temperature")
    return {name: json.loads(text) if name in as_json else text for name, text in texts.items()}


@pytest.mark.parametrize("format", KINDS)
def test_others_say_what_the_run_says(format, flowers, finished, tmp_path):
    needs(format)
    path = tmp_path / "deep" / f"model{KINDS[format].ending}"
    made = export(finished, path, format, flowers)
    assert (made.path, made.bytes, made.classes) == (path, path.stat().st_size, 104)
    assert (made.compared, made.agreed) == (26, 26) and made.difference < 1e-3
    assert made.images == f"26 photos of {flowers / 'val'}"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    photos = load_split(find_split(flowers, "val"))
    np.save(tmp_path / "images.npy", photos.images.astype(np.float32))
    arguments = [str(path), str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", READERS[format], *arguments], env=environment, check=True)
    logits = np.load(tmp_path / "logits.npy").astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    judged = judge(finished, flowers, "val", "none", "fail", labels=True, reporter=SILENT)
    np.testing.assert_allclose(probabilities, judged.probabilities, atol=1e-4)
    about = told(format, path)
    assert about["labels"] == list(classes.NAMES) and about["image_size_px"] == 32
    assert about["input"] == "images: float32[batch, 32, 32, 3], RGB, 0 to 255; scaling is inside the model"
    assert about["output"] == "logits: float32[batch, 104]" and about["resize"].endswith("filter to 32 x 32 px")
    assert about["temperature"] == made.temperature > 0 and about["model"] == "micro"


def test_the_model_inside_the_package_as_onnx(tmp_path, monkeypatch):
    needs("onnx")
    made = export(out=tmp_path / "model.onnx", format="onnx")
    assert (made.compared, made.agreed) == (64, 64) and made.difference < 1e-3
    assert made.images == "64 random images (--data takes photos)"
    assert made.temperature == shipped.load().temperature
    assert told("onnx", made.path)["labels"] == list(classes.NAMES)
    for format in ("keras", "stablehlo", "weights"):
        line = rf"^the model that ships with Corolla goes out as --format onnx: name a RUN for {format}$"
        with pytest.raises(WishError, match=line):
            export(format=format, out=tmp_path / f"other{KINDS[format].ending}")
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("difference", [1.0, np.nan])
@pytest.mark.parametrize("format", ["keras", "weights"])
def test_a_file_that_differs_gets_no_name(format, difference, finished, tmp_path, monkeypatch):
    stock = KINDS[format].module.answers

    def wrong(path, images):
        return stock(path, images) + difference

    monkeypatch.setattr(KINDS[format].module, "answers", wrong)
    name = f"model{KINDS[format].ending}"
    line = rf"^{name} differs from {finished} by (1|nan) in a logit: it was not written$"
    with pytest.raises(RunError, match=line):
        export(finished, tmp_path / name, format)
    assert not list(tmp_path.iterdir())


def test_wishes_that_make_no_sense(finished, tmp_path):
    with pytest.raises(WishError, match=r"model\.onnx: a file of --format keras wants the ending \.keras$"):
        export(finished, tmp_path / "model.onnx")
    with pytest.raises(RunError, match="is no run folder"):
        export(tmp_path)
    with pytest.raises(RunError, match="cannot be written"):
        export(finished, Path("/proc/nowhere/model.safetensors"), "weights")


def test_a_run_that_is_not_finished(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "scores.json").unlink()
    with pytest.raises(RunError, match=r"run is not finished: let `corolla train` finish first$"):
        export(run)
    assert not (run / "model.keras").exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_an_extra_that_is_missing(missing, finished, tmp_path, monkeypatch, capsys):
    there = {"onnx", "onnxruntime"} - {missing}
    monkeypatch.setattr(exporting.onnx_file, "find_spec", lambda name: name in there or None)
    with pytest.raises(SystemExit) as end:
        main(["export", str(finished), "--format", "onnx", "--out", str(tmp_path / "model.onnx")])
    line = f"corolla: --format onnx wants {missing}, which is not installed: pip install 'corolla[onnx]'\n"
    assert (end.value.code, capsys.readouterr().err) == (2, line)


def test_tensorflow_missing_or_failing(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    with pytest.raises(WishError, match=r"^--format litert wants tensorflow, .*: pip install 'corolla\[tensorflow\]'"):
        export(finished, tmp_path / "model.tflite", "litert")
    monkeypatch.setattr(litert, "find_spec", lambda name: True)
    monkeypatch.setattr(litert, "WRITING", "raise ValueError('no such operation')")
    line = r"^TensorFlow did not convert the model \(ValueError: no such operation\): use --format onnx$"
    with pytest.raises(RunError, match=line):
        export(finished, tmp_path / "model.tflite", "litert")
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_graph(finished, tmp_path):
    needs("onnx")
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "graph.json").unlink()
    with pytest.raises(WishError, match=r"run cannot be written as ONNX \(micro has layers that no graph says\): use"):
        export(run, format="onnx")
    assert export(run, format="weights").difference == 0


def test_from_the_command_line(finished, tmp_path, capsys):
    for words in ([], ["--json"]):
        path = tmp_path / "model.safetensors"
        with pytest.raises(SystemExit) as end:
            main(["export", str(finished), "--format", "weights", "--out", str(path), *words])
        assert not end.value.code
        printed = capsys.readouterr()
        if words:
            found = json.loads(printed.out)
            assert found["path"] == str(path) and (found["agreed"], found["difference"]) == (64, 0)
        else:
            assert printed.out == f"{path}\n"
            assert printed.err.startswith("104 classes, 0.") and "64 of 64 named alike" in printed.err


# The examples of docs/export.md -----------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
EXAMPLES = dict(zip(("photo", "onnx", "stablehlo", "keras", "weights", "litert"), blocks(PAGE), strict=True))


@pytest.mark.parametrize("format", ["onnx", "stablehlo", "keras", "weights"])
def test_the_examples_work(format, finished, tmp_path, monkeypatch, capsys):
    needs(format)
    made = export(finished, tmp_path / f"model{KINDS[format].ending}", format)
    (tmp_path / "photo.jpg").write_bytes(flower(2, 0, 48))
    monkeypatch.chdir(tmp_path)
    text = EXAMPLES["photo"].replace("(224, 224)", "(32, 32)") + EXAMPLES[format]
    exec(compile(text, f"{PAGE} {format}", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("{'model': 'micro', 'image_size': 32" if format == "weights" else classes.NAMES)
    assert made.path.name in text


# What a file says -------------------------------------------------------------------------------------------------


def test_a_temperature_only_by_what_was_not_learned(finished, tmp_path):
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    judged = run.predictions("predictions")
    assert of_run(run.path).temperature is not None
    few = judged.probabilities[:9]
    run.write_predictions("predictions", judged.ids[:9], judged.labels[:9], few)
    assert of_run(run.path).temperature is None
    run.write_predictions("predictions", ["train000", *judged.ids[1:]], judged.labels, judged.probabilities)
    assert of_run(run.path).temperature is None
    config = json.loads((run.path / "config.json").read_text())
    config["settings"]["folds"] = 1
    (run.path / "config.json").write_text(json.dumps(config))
    run.write_predictions("predictions", judged.ids, judged.labels, judged.probabilities)
    assert of_run(run.path).temperature is None


def test_no_folders_of_this_machine(finished, tmp_path):
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    config = json.loads((run.path / "config.json").read_text())
    for model, wanted in (("hub:/home/me/presets/vit", "hub:vit"), ("hub:vit_tiny", "hub:vit_tiny")):
        config["settings"]["model"] = model
        (run.path / "config.json").write_text(json.dumps(config))
        assert of_run(run.path).model == wanted


def test_it_is_compared_in_float32_whatever_the_run_computed_in(finished, tmp_path):
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    config = json.loads((run.path / "config.json").read_text())
    config["settings"]["precision"] = "bfloat16"
    (run.path / "config.json").write_text(json.dumps(config))
    model = of_run(run.path).keras_model
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}


# Comparing --------------------------------------------------------------------------------------------------------


def test_the_random_images_are_not_alike():
    images, _ = checking.images(16, None)
    assert images.shape == (64, 16, 16, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 255
    roughness = np.abs(np.diff(images, axis=1)).mean(axis=(1, 2, 3))
    assert roughness[0] == 0 and roughness[-1] > 50
    assert (images == checking.images(16, None)[0]).all()


@pytest.mark.parametrize("n", [1, 16, 26])
def test_any_number_of_images_a_few_at_a_time(n):
    seen = []

    def answer(images):
        seen.append(len(images))
        return images.mean(axis=(1, 2))

    images = np.random.default_rng(0).uniform(0, 255, (n, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(checking.answers(answer, images), images.mean(axis=(1, 2)))
    assert set(seen) == {16}


def test_comparing():
    wanted = np.eye(4, dtype=np.float32) * 5
    assert checking.compare(wanted, wanted) == (0, 4, 5)
    assert checking.compare(wanted, wanted[::-1]) == (5, 0, 5)
    assert checking.compare(wanted, wanted[:2])[0] == np.inf


def test_what_ships_is_compared_with_itself():
    source = of_shipped()
    images = np.zeros((1, source.image_size, source.image_size, 3), np.float32)
    assert source.answer(images).shape == (1, 104) and source.folder is None
    assert dataclasses.replace(source, labels=[]).about()["output"] == "logits: float32[batch, 0]"
