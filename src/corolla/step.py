"""The device side, pure: one train step, one prediction step, and how many of them run in one dispatch.

Takes: a Keras model and optimizer as descriptions, a `State`, pixels on the devices, the order of the steps.
Gives: the next `State` and `Sums`; or logits. Loops, planner and tests share these functions; there are no others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from corolla import augment
from corolla.backend import keras, value_of
from corolla.config import Augmentation
from corolla.losses import Objective, count_pairs, soft_targets
from corolla.mesh import DATA, compiler_options, copied, platform
from corolla.models import chains
from corolla.models.lowering import largest_divisor, split
from corolla.models.stages import Stage, in_stages, stages
from corolla.optim import AdamW


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

    images: uint8[lanes, steps, h, w, 3]; labels: int32[lanes, steps], or targets float32[lanes, steps, classes] where a
    split has them; weights: float32[lanes, steps], 0 is padding.
    """

    images: jax.Array
    labels: jax.Array
    weights: jax.Array


class Steps(NamedTuple):
    """What each step reads: picks int32[lanes, steps] and draws float32[lanes, steps, order.DRAWS], split by lane.

    partners: int32[lanes, steps], what each image may be mixed with.
    """

    picks: jax.Array
    draws: jax.Array
    partners: jax.Array


class Batch(NamedTuple):
    """One step's records: images uint8[b, h, w, 3], labels int32[b], weights float32[b], draws float32[b, DRAWS].

    Where the split has targets, they are the labels: float32[b, classes].
    others: where images are mixed, the images uint8[b, h, w, 3] and labels of what each is mixed with.
    """

    images: jax.Array
    labels: jax.Array
    weights: jax.Array
    draws: jax.Array
    others: tuple[jax.Array, jax.Array] | None = None


@dataclass(frozen=True)
class Learner:
    """What a train step needs to know besides values: the model, how it moves, how images are augmented."""

    model: keras.Model
    optimizer: AdamW
    image_size: int
    objective: Objective
    augmentation: Augmentation

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.model.output_shape[-1]

    def initial_state(self) -> State:
        """The weights that the Keras objects hold now, averaged from there on (copies: the step donates its state)."""
        if self.optimizer.built:
            self.optimizer.begin_averages(self.model.trainable_variables)
        else:
            self.optimizer.build(self.model.trainable_variables)
        groups = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        return State(*([jnp.array(value_of(variable)) for variable in group] for group in groups))

    def averaged(self, state: State) -> list[jax.Array]:
        """The trainable values to be scored: their moving average, or themselves where averaging is off."""
        places = self.optimizer.average_places()
        return state.trainable if places is None else [state.optimizer[place] for place in places]


def empty_sums(classes: int) -> Sums:
    """Sums of no step."""
    return Sums(jnp.zeros(()), jnp.zeros(()), jnp.zeros((classes, classes), jnp.int32))


# ---------------------------------------------------------------------------------------------------- one step


def train_step(
    learner: Learner, state: State, sums: Sums, batch: Batch, mesh: Mesh | None = None
) -> tuple[State, Sums]:
    """Augment, forward, backward, update. The loss is the mean over the records of the whole batch (weight 1).

    mesh: the devices, where they may work off the batch in groups of images (see `_lessons_by_group`).
    """
    images, targets = seen_in_training(learner, batch)
    if mesh is None:
        lessons = _lessons(learner, state, images, targets, batch.weights)
    else:
        lessons = _lessons_by_group(learner, state, images, targets, batch.weights, mesh)
    weight = batch.weights.sum()
    gradients = jax.tree.map(lambda each: each / weight, lessons.gradients)
    trainable, optimizer = learner.optimizer.stateless_apply(state.optimizer, gradients, state.trainable)
    counted = count_pairs(targets.argmax(axis=1), lessons.logits.argmax(axis=1), batch.weights, learner.classes)
    new_sums = Sums(sums.loss + lessons.loss, sums.weight + weight, sums.confusion + counted)
    return State(trainable, lessons.non_trainable, optimizer), new_sums


def seen_in_training(learner: Learner, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """What the network sees and should say: images float[b, s, s, 3], augmented and mixed, targets float32[b, classes].

    Targets sum to 1: shares of a mixture's labels, smoothed.
    """
    others = None if batch.others is None else batch.others[0]
    settings = learner.image_size, learner.augmentation, learner.model.compute_dtype
    images, share = augment.seen_in_training(batch.images, others, batch.draws, *settings)
    return images, mixed_targets(learner, batch, share)


def mixed_targets(learner: Learner, batch: Batch, share: jax.Array) -> jax.Array:
    """Targets float32[b, classes] of images of which a share float32[b] is their own."""
    settings = learner.classes, learner.objective.smoothing
    targets = soft_targets(batch.labels, *settings)
    if batch.others is None:
        return targets
    return share[:, None] * targets + (1 - share[:, None]) * soft_targets(batch.others[1], *settings)


class _Lessons(NamedTuple):
    """What images teach: the weighted sum of their losses, its gradients, logits[b, classes], what layers updated."""

    gradients: list[jax.Array]
    loss: jax.Array
    logits: jax.Array
    non_trainable: list[jax.Array]


def _lessons(
    learner: Learner,
    state: State,
    images: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    call: Callable[..., Any] = chains.plain_call,
) -> _Lessons:
    def loss_of(trainable: list[jax.Array]) -> tuple[jax.Array, tuple[jax.Array, list[jax.Array]]]:
        logits, non_trainable = chains.stateless(learner.model, trainable, state.non_trainable, images, call)
        losses = learner.objective.losses(logits, targets)
        return (losses * weights).sum(), (logits, non_trainable)

    (loss, (logits, non_trainable)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.trainable)
    return _Lessons(gradients, loss, logits, non_trainable)


GROUP, GROUP_OF_LARGE, LARGE = 4, 8, 10_000_000
"""Images that a CPU device takes at once, and of a model with so many weights to learn: more images leave the cache,
fewer read the weights and add up the gradients too often."""


def _lessons_by_group(
    learner: Learner, state: State, images: jax.Array, targets: jax.Array, weights: jax.Array, mesh: Mesh
) -> _Lessons:
    """As `_lessons`, a few images at a time on each device: their activations stay in the cache, and in little memory.

    The same sums in another order, because no layer lets images see each other (`chains.by_image`).
    """
    whole, local = images.shape[0], images.shape[0] // mesh.size
    learned = sum(each.size for each in state.trainable)
    size = largest_divisor(local, GROUP if learned < LARGE else GROUP_OF_LARGE)

    def one_device(state: State, *given: jax.Array) -> _Lessons:
        first = jax.lax.axis_index(DATA) * local

        def group(total: tuple[list[jax.Array], jax.Array], number_and_part: Any) -> Any:
            number, part = number_and_part
            rows = chains.Rows(first + number * size, size, whole)
            found = _lessons(learner, state, *part, call=partial(chains.call, training=True, rows=rows))
            added = jax.tree.map(jnp.add, total, (found.gradients, found.loss))
            return added, (found.logits, found.non_trainable)

        nothing = jax.tree.map(jnp.zeros_like, (state.trainable, jnp.float32(0)))
        parts = jnp.arange(local // size), tuple(split(each, size) for each in given)
        (gradients, loss), (logits, updated) = jax.lax.scan(group, nothing, parts)
        gradients, loss = jax.lax.psum((gradients, loss), DATA)
        return _Lessons(gradients, loss, logits.reshape(local, -1), [each[-1] for each in updated])

    specs = (WHOLE, LANES, LANES, LANES)
    out = _Lessons(WHOLE, WHOLE, LANES, WHOLE)  # pyright: ignore
    run = jax.shard_map(one_device, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)
    return run(state, images, targets, weights)


# ------------------------------------------------------------------------------------------- many in one dispatch


def gather(pixels: Pixels, steps: Steps, step: jax.Array, mixes: bool = False) -> Batch:
    """Read one step's records, every lane from its own device: under a shard_map, so that no image can cross chips.

    mixes: also those that they are mixed with, which are of the same lanes.
    """
    pick = jax.lax.dynamic_index_in_dim(steps.picks, step, axis=1, keepdims=False)
    draw = jax.lax.dynamic_index_in_dim(steps.draws, step, axis=1, keepdims=False)
    chosen = jax.vmap(lambda lane, i: jax.lax.dynamic_index_in_dim(lane, i, keepdims=False))
    images, labels, weights = (chosen(lanes, pick) for lanes in pixels)
    if not mixes:
        return Batch(images, labels, weights, draw)
    partner = jax.lax.dynamic_index_in_dim(steps.partners, step, axis=1, keepdims=False)
    *others, real = (chosen(lanes, partner) for lanes in pixels)
    image, label = (  # in the place of padding, the image itself
        jnp.where((real > 0).reshape(-1, *[1] * (own.ndim - 1)), other, own)
        for other, own in zip(others, (images, labels), strict=True)
    )
    return Batch(images, labels, weights, draw, (image, label))


LANES, WHOLE = PartitionSpec(DATA), PartitionSpec()
"""How `jax.shard_map` hands out arguments: split over the devices by lane, or whole to each."""


TrainSteps = Callable[..., tuple[State, Sums]]
"""(state, sums, pixels, steps, first, last) -> (state, sums)"""


def train_steps(learner: Learner, mesh: Mesh) -> TrainSteps:
    """Jit (state, sums, pixels, steps, first, last) -> (state, sums): steps first to last - 1 in one dispatch.

    The bounds are arguments, so one trace serves any number of steps. State and sums are donated: their memory is
    used again, and the caller must not touch what it gave.
    """

    def grouped(pixels: Pixels) -> bool:
        divided = pixels.images.shape[0] % mesh.size == 0
        return platform(mesh) == "cpu" and divided and chains.by_image(learner.model)

    of_step = partial(gather, mixes=learner.augmentation.mixes)
    read = jax.shard_map(of_step, mesh=mesh, in_specs=(LANES, LANES, WHOLE), out_specs=LANES)

    def run(state: State, sums: Sums, pixels: Pixels, steps: Steps, first: jax.Array, last: jax.Array):
        def body(step: jax.Array, carry: tuple[State, Sums]) -> tuple[State, Sums]:
            return train_step(learner, *carry, read(pixels, steps, step), mesh if grouped(pixels) else None)

        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # for `lowering`, which has to know it on a CPU
            return jax.lax.fori_loop(first, last, body, (state, sums))

    return jax.jit(run, donate_argnums=(0, 1), out_shardings=copied(mesh), compiler_options=compiler_options(mesh))


PredictSteps = Callable[..., jax.Array]
"""(trainable, non_trainable, images, view, first, last) -> float32[steps, lanes, outputs]"""


def predict_steps(model: keras.Model, mesh: Mesh, image_size: int, boxes: bool = False) -> PredictSteps:
    """Jit (trainable, non_trainable, images, view, first, last) -> float32[steps, lanes, outputs].

    images: uint8[lanes, steps, h, w, 3], a part of `Pixels.images`; view: bool[], whether to look at their mirror
    images; with `boxes` float32[5], which part to look at (see `augment.look`): computing pixels takes time, also those
    of a whole image. Row i holds the outputs of step i, 0 outside of first to last - 1. One trace serves all views of
    its kind and any number of steps; the same program gives logits (of a classifier) and features (of a backbone).
    Nothing in it crosses devices.
    """

    start, *rest = stages(model)
    variables = [*model.trainable_variables, *model.non_trainable_variables]

    def outputs_of(
        trainable: list[jax.Array], non_trainable: list[jax.Array], images: jax.Array, box: jax.Array | None
    ) -> jax.Array:
        def look(images: jax.Array) -> jax.Array:
            if box is None:
                return augment.resize(images, image_size, model.compute_dtype)
            return augment.look(images, box, image_size, model.compute_dtype)

        def whole(images: jax.Array) -> jax.Array:
            return model.stateless_call(trainable, non_trainable, look(images), training=False)[0]

        def on_cpu(images: jax.Array) -> jax.Array:
            parts = [Stage(lambda images: start.run(look(images)), start.images), *rest]
            values = zip(variables, [*trainable, *non_trainable], strict=True)
            with keras.StatelessScope(state_mapping=list(values)):
                return in_stages(parts, images)

        return jax.lax.platform_dependent(images, cpu=on_cpu, default=whole).astype(jnp.float32)

    def run(trainable, non_trainable, images, view: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
        def body(step: jax.Array, rows: jax.Array) -> jax.Array:
            batch, box = jax.lax.dynamic_index_in_dim(images, step, axis=1, keepdims=False), view if boxes else None
            if not boxes:
                batch = jax.lax.cond(view, augment.mirror, lambda images: images, batch)
            return rows.at[step].set(outputs_of(trainable, non_trainable, batch, box))

        lanes, steps = images.shape[:2]
        return jax.lax.fori_loop(first, last, body, jnp.zeros((steps, lanes, model.output_shape[-1]), jnp.float32))

    specs = (WHOLE, WHOLE, LANES, WHOLE, WHOLE, WHOLE)
    program = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(None, DATA), check_vma=False)
    return jax.jit(program, compiler_options=compiler_options(mesh))
