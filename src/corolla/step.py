"""The device side, pure: one train step, one prediction step, and how many of them run in one dispatch.

Takes: a Keras model and optimizer as descriptions, a `State`, pixels on the devices, the order of the steps.
Gives: the next `State` and `Sums`; or logits. Loops, planner and tests share these functions; there are no others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from corolla import augment
from corolla.backend import keras
from corolla.mesh import DATA, copied, split
from corolla.models.lowering import map_pieces
from corolla.optim import AdamW

View = Literal["plain", "mirror"]
"""How an image is looked at in prediction."""


class State(NamedTuple):
    """Everything that a step changes: values of the Keras variables, in Keras' own order."""

    trainable: list[jax.Array]
    non_trainable: list[jax.Array]
    optimizer: list[jax.Array]


class Sums(NamedTuple):
    """What training adds up over the steps of an epoch; divided once, at the end.

    loss: float32, weighted cross-entropy; weight: float32, records seen;
    confusion: int32[classes, classes], rows true, columns predicted.
    """

    loss: jax.Array
    weight: jax.Array
    confusion: jax.Array


class Pixels(NamedTuple):
    """Records on the devices, laid out in lanes (see `order.Lanes`), split over the devices by lane.

    images: uint8[lanes, steps, h, w, 3]; labels: int32[lanes, steps]; weights: float32[lanes, steps], 0 is padding.
    """

    images: jax.Array
    labels: jax.Array
    weights: jax.Array


class Steps(NamedTuple):
    """What each step reads: picks int32[lanes, steps] and draws float32[lanes, steps, order.DRAWS], split by lane."""

    picks: jax.Array
    draws: jax.Array


class Batch(NamedTuple):
    """One step's records: images uint8[b, h, w, 3], labels int32[b], weights float32[b], draws float32[b, DRAWS]."""

    images: jax.Array
    labels: jax.Array
    weights: jax.Array
    draws: jax.Array


@dataclass(frozen=True)
class Learner:
    """What a train step needs to know besides values: the model, how it moves, how images are augmented."""

    model: keras.Model
    optimizer: AdamW
    image_size: int
    label_smoothing: float
    crop_area: float
    flip: bool

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.model.output_shape[-1]

    def initial_state(self) -> State:
        """The values that the Keras objects hold now (copies: the step donates its state)."""
        if not self.optimizer.built:
            self.optimizer.build(self.model.trainable_variables)
        groups = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        return State(*([jnp.array(variable.value) for variable in group] for group in groups))

    def averaged(self, state: State) -> list[jax.Array]:
        """The trainable values to be scored: their moving average, or themselves where averaging is off."""
        places = self.optimizer.average_places()
        return state.trainable if places is None else [state.optimizer[place] for place in places]


def empty_sums(classes: int) -> Sums:
    """Sums of no step."""
    return Sums(jnp.zeros(()), jnp.zeros(()), jnp.zeros((classes, classes), jnp.int32))


# ---------------------------------------------------------------------------------------------------- one step


def train_step(learner: Learner, state: State, sums: Sums, batch: Batch) -> tuple[State, Sums]:
    """Augment, forward, backward, update. The loss is the mean over the records of the whole batch (weight 1)."""
    dtype = learner.model.compute_dtype
    images = augment.augment(batch.images, batch.draws, learner.image_size, learner.crop_area, learner.flip, dtype)

    def loss_of(trainable: list[jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array, list[jax.Array]]]:
        logits, non_trainable = learner.model.stateless_call(trainable, state.non_trainable, images, training=True)
        losses = cross_entropy(logits, batch.labels, learner.label_smoothing) * batch.weights
        return losses.sum() / batch.weights.sum(), (losses.sum(), logits, non_trainable)

    (_, (loss, logits, non_trainable)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.trainable)
    trainable, optimizer = learner.optimizer.stateless_apply(state.optimizer, gradients, state.trainable)
    counted = count_pairs(batch.labels, logits.argmax(axis=1), batch.weights, learner.classes)
    new_sums = Sums(sums.loss + loss, sums.weight + batch.weights.sum(), sums.confusion + counted)
    return State(trainable, non_trainable, optimizer), new_sums


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """Cross-entropy against targets of which `smoothing` is spread over all classes; float32[b]."""
    logged = jax.nn.log_softmax(logits.astype(jnp.float32))
    own = jnp.take_along_axis(logged, labels[:, None], axis=1)[:, 0]
    return -(1 - smoothing) * own - smoothing * logged.mean(axis=1)


def count_pairs(labels: jax.Array, predictions: jax.Array, weights: jax.Array, classes: int) -> jax.Array:
    """Confusion counts of one batch; int32[classes, classes]. Padding (weight 0) is not counted."""
    pairs = labels * classes + predictions
    counts = jnp.zeros(classes * classes, jnp.int32).at[pairs].add((weights > 0).astype(jnp.int32))
    return counts.reshape(classes, classes)


# ------------------------------------------------------------------------------------------- many in one dispatch


def gather(mesh: Mesh, pixels: Pixels, steps: Steps, step: jax.Array) -> Batch:
    """Read one step's records, every lane from its own chip: a shard_map, so that no image can cross chips."""

    def local(images, labels, weights, picks, draws, step):
        pick = jax.lax.dynamic_index_in_dim(picks, step, axis=1, keepdims=False)
        chosen = jax.vmap(lambda lane, i: jax.lax.dynamic_index_in_dim(lane, i, keepdims=False))
        draw = jax.lax.dynamic_index_in_dim(draws, step, axis=1, keepdims=False)
        return chosen(images, pick), chosen(labels, pick), chosen(weights, pick), draw

    lanes = PartitionSpec(DATA)
    read = jax.shard_map(local, mesh=mesh, in_specs=(*[lanes] * 5, PartitionSpec()), out_specs=(lanes,) * 4)
    return Batch(*read(*pixels, *steps, step))


TrainSteps = Callable[..., tuple[State, Sums]]
"""(state, sums, pixels, steps, first, last) -> (state, sums)"""


def train_steps(learner: Learner, mesh: Mesh) -> TrainSteps:
    """Jit (state, sums, pixels, steps, first, last) -> (state, sums): steps first to last - 1 in one dispatch.

    The bounds are arguments, so one trace serves any number of steps. State and sums are donated: their memory is
    used again, and the caller must not touch what it gave.
    """

    def run(state: State, sums: Sums, pixels: Pixels, steps: Steps, first: jax.Array, last: jax.Array):
        def body(step: jax.Array, carry: tuple[State, Sums]) -> tuple[State, Sums]:
            return train_step(learner, *carry, gather(mesh, pixels, steps, step))

        return jax.lax.fori_loop(first, last, body, (state, sums))

    return jax.jit(run, donate_argnums=(0, 1), out_shardings=copied(mesh))


PredictSteps = Callable[..., jax.Array]
"""(trainable, non_trainable, pixels, steps, first, last) -> float32[at_most, lanes, views, outputs]"""


def predict_steps(model: keras.Model, mesh: Mesh, image_size: int, views: Sequence[View], at_most: int) -> PredictSteps:
    """Jit (trainable, non_trainable, pixels, steps, first, last) -> float32[at_most, lanes, views, outputs].

    Row i holds the outputs of step first + i; rows from last - first on are 0. One trace serves any number of steps.
    The same program gives logits (of a classifier) and features (of a backbone).
    """

    def outputs_of(trainable: list[jax.Array], non_trainable: list[jax.Array], images: jax.Array) -> jax.Array:
        plain = augment.resize(images, image_size, model.compute_dtype)
        seen = jnp.stack([plain if view == "plain" else augment.mirror(plain) for view in views], axis=1)
        batch = seen.reshape(-1, *seen.shape[2:])  # one batch for all views: the network is compiled once
        outputs = map_pieces(lambda x: model.stateless_call(trainable, non_trainable, x, training=False)[0], batch)
        return outputs.reshape(*seen.shape[:2], -1).astype(jnp.float32)

    def run(trainable, non_trainable, pixels: Pixels, steps: Steps, first: jax.Array, last: jax.Array) -> jax.Array:
        def body(step: jax.Array, rows: jax.Array) -> jax.Array:
            outputs = outputs_of(trainable, non_trainable, gather(mesh, pixels, steps, step).images)
            return rows.at[step - first].set(outputs)

        rows = jnp.zeros((at_most, pixels.images.shape[0], len(views), model.output_shape[-1]), jnp.float32)
        return jax.lax.fori_loop(first, last, body, jax.lax.with_sharding_constraint(rows, split(mesh, axis=1)))

    return jax.jit(run, out_shardings=split(mesh, axis=1))
