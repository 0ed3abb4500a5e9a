"""What training minimises and what it adds up, written once with `keras.ops` for both loops.

Takes: logits, labels and weights of a batch.
Gives: `cross_entropy` and `count_pairs`; `CrossEntropy` and `Seen`, the same for Keras' `compile`.
"""

from typing import Any

from corolla.backend import keras, over_replicas

ops: Any = keras.ops
Tensor = Any


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy [nats] against targets of which `smoothing` is spread over all classes (Szegedy et al., 2016).

    logits: float[b, classes]; labels: int[b]. Returns float32[b].
    """
    logged = ops.log_softmax(ops.cast(logits, "float32"))
    own = ops.take_along_axis(logged, labels[:, None], axis=1)[:, 0]
    return -(1 - smoothing) * own - smoothing * ops.mean(logged, axis=1)


def count_pairs(labels: Tensor, predictions: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Confusion counts of one batch; int32[classes, classes], rows true, columns predicted. Weight 0 is not counted.

    As a product of two one-hot matrices, whose sums of ones are exact: a TPU scatters badly.
    """
    rows = ops.one_hot(labels, classes) * ops.cast(weights > 0, "float32")[:, None]
    return ops.cast(ops.matmul(ops.transpose(rows), ops.one_hot(predictions, classes)), "int32")


@keras.saving.register_keras_serializable("corolla")
class CrossEntropy(keras.losses.Loss):
    """Mean of `cross_entropy` over the records of a batch; padding (weight 0) does not count.

    y_true: int[b]; y_pred: logits float[b, classes]. The mean is that of the whole batch, also where each of several
    replicas sees a part of it: Keras' own reductions take the mean of the parts' means, and padding is in one of them.
    """

    def __init__(self, smoothing: float = 0.0, name: str = "cross_entropy") -> None:
        super().__init__(name=name)
        self.smoothing = smoothing

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return this replica's share of the mean, float32[]: of the whole mean where there is one replica."""
        losses = self.call(y_true, y_pred)
        weights = ops.ones_like(losses) if sample_weight is None else ops.cast(sample_weight, "float32")
        return ops.divide_no_nan(ops.sum(losses * weights), over_replicas(ops.sum(weights))[0])

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return float32[b]."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return cross_entropy(y_pred, labels, self.smoothing)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this loss."""
        return {"smoothing": self.smoothing, "name": self.name}


class Seen(keras.metrics.Metric):
    """What an epoch has added up: the weighted loss, the weight, and the confusion matrix; as `step.Sums`.

    Its result is a dictionary of `loss`, `accuracy` and `macro_f1` (over the classes present). Keras' own running loss
    counts padding as if it were records.
    """

    def __init__(self, classes: int, smoothing: float, name: str = "seen") -> None:
        super().__init__(name=name)
        self.smoothing = smoothing
        self.loss = self.add_variable((), "zeros", "float32", name="loss")
        self.weight = self.add_variable((), "zeros", "float32", name="weight")
        self.confusion = self.add_variable((classes, classes), "zeros", "int32", name="confusion")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add one batch. y_true: int[b]; y_pred: logits float[b, classes]; sample_weight: float[b], None: ones."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        weights = ops.ones_like(y_pred[:, 0]) if sample_weight is None else ops.cast(sample_weight, "float32")
        losses = cross_entropy(y_pred, labels, self.smoothing)
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
