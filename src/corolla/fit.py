"""The Keras path (`--loop keras`): stock `compile` and `fit`, with callbacks.

Takes: a `Job`, the state to start from, callbacks of the user. Gives: nothing but what the journal writes.

It shares everything with the custom loop but the loop: the model, the order of the records, the augmentation, the loss,
the optimizer, evaluation and checkpoints. What it costs is a dispatch a step, and what callbacks cost.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np

from corolla import augment, hosts
from corolla.backend import is_jax, keras, value_of
from corolla.config import Augmentation
from corolla.job import Job, Watch, close_epoch, planned_steps
from corolla.losses import CrossEntropy, Seen
from corolla.network import accelerated
from corolla.order import DRAWS
from corolla.pace import Pace
from corolla.step import LANES, WHOLE, Learner, State, Sums, gather, mixed_targets

MEASURED_STEPS = 4
"""Steps that a time-boxed run measures."""

Batch = tuple[dict[str, Any], Any, Any]
"""What `fit` takes: {"images": uint8[b, h, w, 3], "draws": float32[b, DRAWS]}, where images are mixed also "others"
like the images; targets float32[b, classes], weights float32[b]."""


@keras.saving.register_keras_serializable("corolla")
class Augment(keras.layers.Layer):
    """Pixels to what the network sees: augmented by `draws` while training, only resized otherwise."""

    def __init__(self, image_size: int, augmentation: dict[str, Any], **options: Any) -> None:
        super().__init__(autocast=False, **options)
        self.image_size, self.augmentation = image_size, augmentation

    def call(self, images: Any, draws: Any, others: Any = None, training: bool = False) -> Any:
        """images, others: uint8[b, h, w, 3]; draws: float32[b, DRAWS]. Returns float[b, size, size, 3] in 0..255."""
        if not training:
            return augment.resize(images, self.image_size, self.compute_dtype)
        how = Augmentation(**self.augmentation)
        return augment.seen_in_training(images, others, draws, self.image_size, how, self.compute_dtype)[0]

    def compute_output_shape(self, images_shape: tuple, draws_shape: tuple, others_shape: tuple | None = None) -> tuple:
        """Return (b, image_size, image_size, 3)."""
        return (images_shape[0], self.image_size, self.image_size, 3)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this layer."""
        return {**super().get_config(), "image_size": self.image_size, "augmentation": self.augmentation}


def batches(job: Job, epoch: int, first: int) -> Iterator[Batch]:
    """Batches without end, from a step of an epoch on, in the custom loop's order: cut out of what lies on the devices.

    A stream, because Keras reads ahead of its own epochs on some backends. Every batch is full: places beyond the last
    record have weight 0, so nothing is dropped and nothing is uneven.
    """
    feed = copy.copy(job.train)  # a place of its own in the order: Keras may leave a stream and begin another
    specs = {"in_specs": (LANES, LANES, WHOLE), "out_specs": LANES}
    learner, of_step = job.learner, partial(gather, mixes=job.learner.augmentation.mixes)
    read = jax.jit(jax.shard_map(of_step, mesh=job.mesh, **specs))
    while True:
        feed.start(job.order(epoch))
        for step in range(first, feed.lanes.steps):
            part = feed.take(step, step + 1)
            batch = read(part.pixels, part.steps, np.int32(part.first))
            if not is_jax():
                batch = jax.tree.map(np.asarray, batch)
            elif hosts.several():
                batch = jax.tree.map(_own_rows, batch)
            share = augment.own_share(batch.draws, learner.image_size, learner.augmentation)
            targets, seen = mixed_targets(learner, batch, share), {"images": batch.images, "draws": batch.draws}
            yield seen | ({"others": batch.others[0]} if batch.others else {}), targets, batch.weights
        epoch, first = epoch + 1, 0


def _own_rows(rows: jax.Array) -> np.ndarray:
    """The rows that lie on this process's devices: what Keras takes of each of several hosts."""
    return np.concatenate([np.asarray(shard.data) for shard in rows.addressable_shards])


def _as_keras_takes_it(job: Job, epoch: int, first: int) -> Any:
    """The stream; for TensorFlow a `tf.data.Dataset` of it, which can be begun anew.

    Keras reads a few batches of a generator to see their shapes, and with `tf.distribute` loses some of them.
    """
    stream = partial(batches, job, epoch, first)
    if keras.backend.backend() != "tensorflow":
        return stream()
    import tensorflow as tf  # pyright: ignore

    signature = tf.nest.map_structure(lambda a: tf.TensorSpec(a.shape, a.dtype), next(stream()))
    return tf.data.Dataset.from_generator(stream, output_signature=signature)


def training_model(learner: Learner, side: int, seen: Seen) -> keras.Model:
    """The classifier with augmentation in front, compiled: images uint8[b, side, side, 3] and draws -> logits."""
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    draws = keras.Input((DRAWS,), dtype="float32", name="draws")
    given = {"images": images, "draws": draws}
    if learner.augmentation.mixes:
        given["others"] = keras.Input((side, side, 3), dtype="uint8", name="others")
    dtype, how = learner.model.dtype_policy, asdict(learner.augmentation)
    pixels = Augment(learner.image_size, how, dtype=dtype, name="augment")(*given.values())
    model = keras.Model(given, learner.model(pixels), name="training")
    model.compile(
        optimizer=learner.optimizer,
        loss=CrossEntropy(objective=learner.objective),
        weighted_metrics=[seen],
        jit_compile=is_jax() or accelerated(),  # pyright: ignore  # XLA is slower than TensorFlow itself on a CPU
    )
    return model


class Variables:
    """The Keras variables of a training as the values that checkpoints hold, and back."""

    def __init__(self, model: keras.Model, learner: Learner, seen: Seen) -> None:
        self.model, self.optimizer, self.seen = model, learner.optimizer, seen
        body = learner.model
        self._state = (body.trainable_variables, body.non_trainable_variables, learner.optimizer.variables)
        self._sums = (seen.loss, seen.weight, seen.confusion)

    def assign(self, state: State, sums: Sums) -> None:
        """Give the variables copies: a train step takes the memory of what they hold."""
        self.assign_sums(sums)
        for variables, values in zip(self._state, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))

    def assign_sums(self, sums: Sums) -> None:
        """As `assign`, for the sums of an epoch alone."""
        for variable, value in zip(self._sums, sums, strict=True):
            variable.assign(np.asarray(value))

    def shorten(self, total_steps: int) -> None:
        """Write the schedule's length into its variable."""
        self._sync()
        self.optimizer.total_steps.assign(total_steps)

    def now(self) -> tuple[State, Sums]:
        """The values as they stand; valid until the next step."""
        self._sync()
        state = State(*([value_of(variable) for variable in variables] for variables in self._state))
        return state, Sums(*(value_of(variable) for variable in self._sums))

    def _sync(self) -> None:
        """On JAX the values live outside of the variables while an epoch runs."""
        if is_jax():
            self.model.jax_state_sync()


class Journalist(keras.callbacks.Callback):
    """Writes a run folder while `fit` trains: the same lines and checkpoints as the custom loop, at the same steps."""

    def __init__(self, job: Job, watch: Watch, variables: Variables, sums: Sums) -> None:
        super().__init__()
        self.job, self.watch, self.variables = job, watch, variables
        self.resumed: Sums | None = sums
        self.begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keras has just set its metrics to 0; those of an epoch that was interrupted go on."""
        if self.resumed is not None:
            self.variables.assign_sums(self.resumed)
            self.resumed = None

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Start the clock of a step."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the step; save or stop where that is due."""
        assert logs is not None
        job = self.job
        if self.watch.passed(1, time.perf_counter() - self.begin, logs["loss"], logs["macro_f1"]):
            self.variables.shorten(job.journal.position.total_steps)
        self.watch.save_where_due(self.variables.now)
        if job.epoch_end() < job.train.lanes.steps and job.journal.position.step >= job.epoch_end():
            self._stop()  # within the last epoch; `on_epoch_end` comes all the same

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluate, keep the best weights, write the line and a checkpoint; tell later callbacks how it went."""
        line = close_epoch(self.job, self.watch.pace, *self.variables.now())
        if not self.job.epochs_left():
            self._stop()
        if logs is not None:
            logs |= {name: line[name] for name in ("val_loss", "val_accuracy", "val_macro_f1", "val_macro_f1_present")}

    def _stop(self) -> None:
        assert self.model is not None
        self.model.stop_training = True


def fit(
    job: Job,
    state: State,
    sums: Sums,
    stopping: Callable[[], bool],
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train from where the journal stands to the planned end, or until a callback sets `model.stop_training`.

    callbacks: of the user. They see `loss`, `accuracy` and `macro_f1` (over the classes present) of the training steps
    after every batch, and at the end of an epoch also `val_loss`, `val_accuracy`, `val_macro_f1` (over all classes, by
    which the best epoch is chosen) and `val_macro_f1_present`.
    Raises RunError (a loss that is no number; no room), InterruptedRunError (a signal came; everything is saved), and
    whatever a callback raises: the run then goes on from its last checkpoint.
    """
    position, pace = job.journal.position, Pace(job.train.lanes.steps)
    learner = job.learner
    seen = Seen(learner.classes, objective=learner.objective)
    model = training_model(job.learner, job.train.side, seen)
    variables = Variables(model, job.learner, seen)

    def run_steps(count: int = MEASURED_STEPS) -> int:
        for images, labels, weights in islice(batches(job, 1, 0), count):
            model.train_on_batch(images, labels, weights)
        variables.assign(state, sums)  # these steps were none
        return count

    job.journal.reporter.note("compiling the train step")
    variables.assign(state, sums)
    with job.journal.clock.section("compile"):
        run_steps(1)
    position.total_steps = position.total_steps or planned_steps(job, pace, state, sums, run_steps)
    variables.shorten(position.total_steps)
    journalist = Journalist(job, Watch(job, pace, stopping), variables, sums)
    if position.step >= job.epoch_end() > 0:  # the last step was done, but the epoch not closed
        close_epoch(job, pace, *variables.now())
        journalist.resumed = None
    while job.epochs_left() and not model.stop_training:
        # The rest of an epoch that was interrupted is a fit of its own: Keras knows epochs, but no step to start from.
        last = position.epoch if position.step else -(-position.total_steps // job.train.lanes.steps)
        model.fit(
            _as_keras_takes_it(job, position.epoch, position.step),
            steps_per_epoch=job.train.lanes.steps - position.step,
            initial_epoch=position.epoch - 1,
            epochs=last,
            callbacks=[journalist, *callbacks],
            shuffle=False,  # the stream has its order
            verbose=0,  # pyright: ignore
        )
