"""A model with its weights: built for training, split into backbone and head, and loaded from a run folder.

Takes: settings, or a run folder. Gives: Keras models, and their weights as named arrays.
"""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import config, hosts, imbalance
from corolla.backend import is_jax, keras
from corolla.config import Augmentation, TrainSettings
from corolla.errors import RunError, WishError
from corolla.graph import Graph
from corolla.losses import Objective
from corolla.mesh import compute_dtype, platform
from corolla.models import freeze, registry
from corolla.models.applications import settle
from corolla.models.blank import blank
from corolla.models.tracing import UntraceableError, traced
from corolla.optim import AdamW
from corolla.run import RunFolder
from corolla.step import Learner, State


def build(settings: TrainSettings, classes: int, mesh: Mesh) -> tuple[keras.Model, TrainSettings]:
    """The classifier to train (pretrained backbone, new head, frozen as the settings say), and the settings settled.

    Settled: what depends on the device and the model (`train_blocks`) now has its value, for the run folder.
    """
    if settings.batch_norm == "batch" and settings.batch_size % mesh.size:
        raise WishError(
            f"--batch-norm batch needs a --batch-size that the {mesh.size} devices divide (now {settings.batch_size}): "
            "empty places would enter the batch's statistics"
        )
    model = _classifier(settings, classes, mesh, settings.weights)
    count = _blocks_to_train(settings, model, mesh)
    freeze.freeze(model, "all" if count < 0 else count, settings.batch_norm)
    return model, dataclasses.replace(settings, train_blocks=count)


def learner_of(settings: TrainSettings, model: keras.Model, labels: NDArray | None = None) -> Learner:
    """The model, its optimizer and its augmentation, as the settings say. labels: of the records that teach."""
    factors = rate_factors(model, settings.layer_decay)
    optimizer = AdamW(settings.learning_rate, settings.warmup, settings.weight_decay, settings.ema, factors)
    objective = objective_of(settings, model.output_shape[-1], labels)
    return Learner(model, optimizer, settings.image_size, objective, augmentation_of(settings))


def objective_of(settings: TrainSettings, classes: int, labels: NDArray | None = None) -> Objective:
    """What is minimised, as the settings say. labels: of the records that teach; without, no class counts as rare."""
    if labels is None:
        return Objective(settings.label_smoothing, focal=settings.focal)
    counts = np.bincount(labels, minlength=classes)
    offset = imbalance.logit_offset(counts, settings.logit_adjustment)
    weights = imbalance.class_weights(counts, settings.class_weights)
    return Objective(settings.label_smoothing, offset, weights, settings.focal)


def rate_factors(model: keras.Model, decay: float) -> dict[str, float]:
    """What each weight's learning rate is multiplied by: 1 for the head, `decay` for the last block, then its powers.

    Source: Clark et al., ELECTRA (2020), https://arxiv.org/abs/2003.10555.
    """
    if decay == 1:
        return {}
    ordered = freeze.blocks(model)
    return {
        weight.path: decay ** (len(ordered) - place)
        for place, block in enumerate(ordered)
        for layer in block.layers
        for weight in layer.trainable_variables
    }


def augmentation_of(settings: TrainSettings) -> Augmentation:
    """How training images are changed, as the settings say."""
    return Augmentation(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Augmentation)})


@contextmanager
def distributed(mesh: Mesh) -> Iterator[None]:
    """Tell Keras to spread batches over the mesh, for `fit`. To be told before a model is built.

    Keras 3.15 places variables by what is told when they are made: told later, their placements do not fit together.
    """
    if keras.backend.backend() == "tensorflow":
        with _strategy().scope():
            yield
        return
    before = keras.distribution.distribution()
    if mesh.size > 1:
        devices = np.array([f"{device.platform}:{device.id}" for device in mesh.devices.flat])
        spread = keras.distribution.DeviceMesh(devices.shape, list(mesh.axis_names), devices)
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(device_mesh=spread, auto_shard_dataset=False)
        )
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _strategy() -> Any:
    """TensorFlow's way over all devices: TPUStrategy where a TPU answers, MirroredStrategy where there are several."""
    import tensorflow as tf  # pyright: ignore

    if tf.config.list_physical_devices("TPU") or "TPU_NAME" in os.environ:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def accelerated(mesh: Mesh | None = None) -> bool:
    """Whether the network runs on a TPU or GPU: of the mesh on JAX, else of what the backend of Keras sees."""
    if mesh is not None and is_jax():
        return platform(mesh) != "cpu"
    if keras.backend.backend() == "torch":  # Keras lists no devices there
        import torch  # pyright: ignore

        return torch.cuda.is_available()
    return any(not device.startswith("cpu") for device in keras.distribution.list_devices())


def _blocks_to_train(settings: TrainSettings, model: keras.Model, mesh: Mesh) -> int:
    if settings.train_blocks is not None:
        return settings.train_blocks
    return -1 if accelerated(mesh) else len(freeze.blocks(model)) // 2


def _classifier(settings: TrainSettings, classes: int, mesh: Mesh, weights: Any) -> keras.Model:
    """Build under the dtype policy of the device; Keras knows no other way to hand it to every layer of a builder."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(compute_dtype(mesh, settings.precision))
    try:
        return registry.classifier(
            settings.model, classes, settings.image_size, weights, settings.dropout, settings.levels
        )
    finally:
        keras.config.set_dtype_policy(before)


def feature_model(classifier: keras.Model) -> keras.Model:
    """The same layers up to the head's input: images to features."""
    return keras.Model(classifier.inputs, classifier.get_layer(freeze.HEAD).input)


def trained(folder: RunFolder, mesh: Mesh, precision: str | None = None) -> keras.Model:
    """The classifier of a run with the weights of its best epoch. Raises RunError where they are damaged or missing.

    precision: another one than the run's, as the setting of that name.
    """
    settings, name, classes = hosts.from_first(
        lambda: (dataclasses.asdict(folder.settings()), folder.model(), len(folder.names()))
    )
    settings = config.from_dict({**settings, "model": name, "precision": precision or settings["precision"]})
    best: dict[str, NDArray] = {}
    hosts.from_first(lambda: best.update(folder.best().arrays))
    return rebuilt(settings, classes, mesh, hosts.arrays_from_first(best), str(folder.path))


def rebuilt(settings: TrainSettings, classes: int, mesh: Mesh, arrays: dict[str, NDArray], source: str) -> keras.Model:
    """The classifier that the settings name, with weights by the names of `named_weights`.

    Raises RunError naming the source where these are another model's.
    """
    model = _unfilled(settings, classes, mesh)
    load_weights(model, arrays, source)
    return model


def _unfilled(settings: TrainSettings, classes: int, mesh: Mesh) -> keras.Model:
    with blank():
        return hosts.together(lambda: _classifier(settings, classes, mesh, "none"))


def of_graph(
    name: str, levels: int, graph: Graph, classes: int, weights: dict[str, NDArray], mesh: Mesh, source: str
) -> keras.Model:
    """The classifier of a graph and its weights, as Keras has it. name: as `registry` knows it.

    Raises RunError where it is not what the graph says: it would answer something else.
    """
    settings = dataclasses.replace(TrainSettings(), model=name, levels=levels, image_size=graph.image_size)
    model = _unfilled(settings, classes, mesh)
    if graph_of(model) != graph:
        raise RunError(f"{source}: {name} is built otherwise by this version of Corolla: use the one that wrote it")
    load_weights(model, weights, source)
    return model


def named_weights(model: keras.Model) -> dict[str, Any]:
    """The variables that make up a model's weights, by names that are the same in every process.

    A name is the Keras path without the numbers that Keras gives to layers and variables nobody named, because these
    count what was built before in the process; equal names are told apart by their order: "conv2d/kernel~1".
    """
    plain = {layer.name: _without_number(layer) for layer in model._flatten_layers()}
    named, seen = {}, Counter()
    for variable in model.weights:
        parts = [plain.get(part) or _NUMBERED.sub("variable", part) for part in variable.path.split("/")]
        name = "/".join(parts)
        named[f"{name}~{seen[name]}" if seen[name] else name] = variable
        seen[name] += 1
    return named


_NUMBERED = re.compile(r"^variable_\d+$")


def _without_number(layer: keras.Layer) -> str:
    """A layer's name; where Keras made it of the class, as conv2d_7 of Conv2D, without the number."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    usual = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return usual if re.fullmatch(rf"{usual}_\d+", layer.name) else layer.name


def graph_of(model: keras.Model) -> Graph | None:
    """What the model computes, by the names of `named_weights`; None where graphs have no operation for it."""
    try:
        return traced(model, named_weights(model))
    except UntraceableError:
        return None


def scored_weights(learner: Learner, state: State) -> dict[str, jax.Array]:
    """The weights to be scored and kept: averaged trainable ones and the others, by the names of `named_weights`."""
    model = learner.model
    pairs = [
        *zip(model.trainable_variables, learner.averaged(state), strict=True),
        *zip(model.non_trainable_variables, state.non_trainable, strict=True),
    ]
    values = {id(variable): value for variable, value in pairs}
    return {name: values[id(variable)] for name, variable in named_weights(model).items()}


def load_weights(model: keras.Model, arrays: dict[str, NDArray], source: str) -> None:
    """Assign arrays by name. Raises RunError naming the first weight that is missing or of another shape."""
    for name, variable in named_weights(model).items():
        found = arrays.get(name)
        if found is None or found.shape != tuple(variable.shape):
            what = "is missing" if found is None else f"has shape {found.shape}, not {tuple(variable.shape)}"
            raise RunError(f"{source}: the weight {name} {what}: these are the weights of another model")
        variable.assign(np.asarray(found))
    settle(model)
