"""What training minimises and what it adds up, written once with `keras.ops` for both loops.

Takes: logits, labels or targets, and weights of a batch.
Gives: `soft_targets`, `cross_entropy` and `count_pairs`; `CrossEntropy` and `Seen`, the same for Keras' `compile`.
"""

from collections.abc import Sequence
from typing import Any

from corolla.backend import keras, over_replicas

ops: Any = keras.ops
Tensor = Any


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Targets float32[b, classes] of labels int[b], of which `smoothing` is spread over all (Szegedy et al., 2016).

    labels: or targets already, float[b, classes], which are smoothed likewise.
    """
    sure = labels if len(labels.shape) == 2 else ops.one_hot(labels, classes, dtype="float32")
    return (1 - smoothing) * sure + smoothing / classes


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy [nats]: float32[b]. logits: float[b, classes]; targets: float32[b, classes], rows summing to 1."""
    return -ops.sum(targets * ops.log_softmax(ops.cast(logits, "float32")), axis=1)


def shifted(logits: Tensor, offset: Sequence[float]) -> Tensor:
    """Logits float32[b, classes] plus a number a class, if there are any."""
    logits = ops.cast(logits, "float32")
    return logits + ops.convert_to_tensor(list(offset), dtype="float32") if len(offset) else logits


def _as_targets(y_true: Tensor, classes: int, smoothing: float) -> Tensor:
    if len(y_true.shape) == 2 and y_true.shape[1] == classes:
        return ops.cast(y_true, "float32")
    return soft_targets(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes, smoothing)


def count_pairs(labels: Tensor, predictions: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Confusion counts of one batch; int32[classes, classes], rows true, columns predicted. Weight 0 is not counted.

    As a product of two one-hot matrices, whose sums of ones are exact: a TPU scatters badly.
    """
    rows = ops.one_hot(labels, classes) * ops.cast(weights > 0, "float32")[:, None]
    return ops.cast(ops.matmul(ops.transpose(rows), ops.one_hot(predictions, classes)), "int32")


@keras.saving.register_keras_serializable("corolla")
class CrossEntropy(keras.losses.Loss):
    """Mean of `cross_entropy` over the records of a batch; padding (weight 0) does not count.

    y_true: labels int[b], which are smoothed, or targets float[b, classes], taken as they are; y_pred: logits
    float[b, classes]. The mean is that of the whole batch, also where each of several replicas sees a part of it:
    Keras' own reductions take the mean of the parts' means, and padding is in one of them.
    """

    def __init__(self, smoothing: float = 0.0, name: str = "cross_entropy", logit_offset: Sequence[float] = ()) -> None:
        """logit_offset: added to the logits before, a number a class (`network.logit_offset`)."""
        super().__init__(name=name)
        self.smoothing, self.logit_offset = smoothing, tuple(logit_offset)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return this replica's share of the mean, float32[]: of the whole mean where there is one replica."""
        losses = self.call(y_true, y_pred)
        weights = ops.ones_like(losses) if sample_weight is None else ops.cast(sample_weight, "float32")
        return ops.divide_no_nan(ops.sum(losses * weights), over_replicas(ops.sum(weights))[0])

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return float32[b]."""
        targets = _as_targets(y_true, y_pred.shape[-1], self.smoothing)
        return cross_entropy(shifted(y_pred, self.logit_offset), targets)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this loss."""
        return {"smoothing": self.smoothing, "name": self.name, "logit_offset": list(self.logit_offset)}


class Seen(keras.metrics.Metric):
    """What an epoch has added up: the weighted loss, the weight, and the confusion matrix; as `step.Sums`.

    Its result is a dictionary of `loss`, `accuracy` and `macro_f1` (over the classes present). Keras' own running loss
    counts padding as if it were records.
    """

    def __init__(self, classes: int, smoothing: float, name: str = "seen", logit_offset: Sequence[float] = ()) -> None:
        """logit_offset: as of `CrossEntropy`, for the loss alone."""
        super().__init__(name=name)
        self.smoothing, self.logit_offset = smoothing, tuple(logit_offset)
        self.loss = self.add_variable((), "zeros", "float32", name="loss")
        self.weight = self.add_variable((), "zeros", "float32", name="weight")
        self.confusion = self.add_variable((classes, classes), "zeros", "int32", name="confusion")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add one batch. y_true: labels int[b], or targets float[b, classes], which count as their largest.

        y_pred: logits float[b, classes]; sample_weight: float[b], None: ones.
        """
        targets = _as_targets(y_true, y_pred.shape[-1], self.smoothing)
        labels = ops.argmax(targets, axis=1)
        weights = ops.ones_like(y_pred[:, 0]) if sample_weight is None else ops.cast(sample_weight, "float32")
        losses = cross_entropy(shifted(y_pred, self.logit_offset), targets)
        self.loss.assign_add(ops.sum(losses * weights))
        self.weight.assign_add(ops.sum(weights))
        counted = count_pairs(labels, ops.argmax(y_pred, axis=1), weights, self.confusion.shape[0])
        self.confusion.assign_add(counted)

    def result(self) -> dict[str, Tensor]:
        """Return the means so far."""
        confusion = ops.cast(self.confusion, "float32")
        hits, support = ops.diagonal(confusion), ops.sum(confusion, axis=1)
        total = support + ops.sum(confusion, axis=0)
        present = ops.cast(support > 0, "float32")
        f1 = ops.where(total > 0, 2 * hits / ops.maximum(total, 1.0), 0.0)
        return {
            "loss": ops.divide_no_nan(self.loss, self.weight),
            "accuracy": ops.divide_no_nan(ops.sum(hits), ops.sum(support)),
            "macro_f1": ops.divide_no_nan(ops.sum(f1 * present), ops.sum(present)),
        }
