"""The format `weights`: all numbers by name, and what it takes to build the model again, as safetensors.

Takes: a `Source`. Gives: `write` and `answers`.

Arrays are float32, by the names of `network.named_weights`. The header's metadata are texts: `corolla`, as JSON what
every file says of itself; `settings`, those that build the model; `graph`, where there is one, the model as plain
operations on these arrays (`corolla.graph`); and for KerasHub's models `preset/...`, the files that describe them.
"""

import json
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from corolla import config
from corolla.export import checking
from corolla.export.checking import Images, Logits
from corolla.export.source import Source
from corolla.mesh import make_mesh
from corolla.models.registry import HUB
from corolla.network import named_weights, rebuilt
from corolla.run import GRAPH, PRESET, RunFolder

BUILDING = ("model", "image_size", "levels")
"""Settings on which it depends what the model computes."""


def refuse_missing() -> None:
    """It needs nothing that Corolla does without."""


def write(source: Source, path: Path) -> None:
    """Write the weights of the source's model."""
    folder = source.folder
    assert folder is not None
    arrays = {name: np.asarray(each.value, np.float32) for name, each in named_weights(source.keras_model).items()}
    settings = asdict(folder.settings()) | {"model": source.model}
    told = {"corolla": source.about(), "settings": {name: settings[name] for name in BUILDING}}
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in told.items()}
    save_file(arrays, path, {**texts, **_described(folder)})


def _described(folder: RunFolder) -> dict[str, str]:
    """The run's own descriptions of its model, as they stand."""
    kept = folder.path / PRESET
    files = [kept / each.name for each in kept.iterdir()] if kept.is_dir() else []
    found = {f"{PRESET}/{each.name}": each.read_text("utf-8") for each in files}
    graph = folder.path / GRAPH
    return found | ({"graph": graph.read_text("utf-8")} if graph.is_file() else {})


def answers(path: Path, images: Images) -> Logits:
    """Build the model anew, of nothing but the file."""
    with safe_open(path, "numpy") as file:
        texts, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    settings, about = json.loads(texts["settings"]), json.loads(texts["corolla"])
    preset = {name.partition("/")[2]: text for name, text in texts.items() if name.startswith(f"{PRESET}/")}
    if preset:
        place = path.parent / PRESET
        place.mkdir()
        for name, text in preset.items():
            (place / name).write_text(text, "utf-8")
        settings["model"] = f"{HUB}{place}"
    asked = config.from_dict({**settings, "precision": "float32"})
    model = rebuilt(asked, len(about["labels"]), make_mesh(jax.devices("cpu")[:1]), arrays, path.name)
    return checking.answers(model.predict_on_batch, images)
