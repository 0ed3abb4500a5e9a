"""What training minimises and what it adds up, written once with `keras.ops` for both loops.

Takes: logits, labels or targets, and weights of a batch.
Gives: `soft_targets`, `cross_entropy`, `count_pairs` and what ties them together, `Objective`; `CrossEntropy` and
`Seen`, the same for Keras' `compile`.
"""

from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Objective:
    """What training minimises: cross-entropy with smoothed targets, and how it leans towards rare or hard records.

    Evaluation knows nothing of it: scores are of the logits as they are.
    """

    smoothing: float = 0.0
    """Share of each target spread over all classes."""
    logit_offset: tuple[float, ...] = ()
    """Added to the logits, a number a class (`imbalance.logit_offset`); or none."""
    class_weights: tuple[float, ...] = ()
    """What a record's loss is multiplied by, a number a class (`imbalance.class_weights`); or none."""
    focal: float = 0.0
    """Exponent by which what is known already counts less: (1 - p) ** focal (Lin et al., 2017)."""

    def targets(self, labels: Tensor, classes: int) -> Tensor:
        """Targets float32[b, classes] of labels int[b]; of targets float[b, classes], themselves."""
        if len(labels.shape) == 2 and labels.shape[1] == classes:
            return ops.cast(labels, "float32")
        return soft_targets(ops.cast(ops.reshape(labels, (-1,)), "int32"), classes, self.smoothing)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return float32[b]. logits: float[b, classes]; targets: float32[b, classes], rows summing to 1."""
        logits = ops.cast(logits, "float32")
        if self.logit_offset:
            logits = logits + _constant(self.logit_offset)
        found = focal_cross_entropy(logits, targets, self.focal) if self.focal else cross_entropy(logits, targets)
        return found * ops.sum(targets * _constant(self.class_weights), axis=1) if self.class_weights else found


def focal_cross_entropy(logits: Tensor, targets: Tensor, focal: float) -> Tensor:
    """Cross-entropy whose terms count by (1 - p) ** focal: float32[b]. Source: https://arxiv.org/abs/1708.02002."""
    logged = ops.log_softmax(ops.cast(logits, "float32"))
    unsure = ops.maximum(1 - ops.exp(logged), 1e-6)  # the slope of a power below 1 has no end at 0
    return -ops.sum(targets * unsure**focal * logged, axis=1)


def _constant(values: tuple[float, ...]) -> Tensor:
    return ops.convert_to_tensor(list(values), dtype="float32")


def count_pairs(labels: Tensor, predictions: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Confusion counts of one batch; int32[classes, classes], rows true, columns predicted. Weight 0 is not counted.

    As a product of two one-hot matrices, whose sums of ones are exact: a TPU scatters badly.
    """
    rows = ops.one_hot(labels, classes) * ops.cast(weights > 0, "float32")[:, None]
    return ops.cast(ops.matmul(ops.transpose(rows), ops.one_hot(predictions, classes)), "int32")


def _objective(smoothing: float, given: Objective | dict[str, Any] | None) -> Objective:
    """As given, or from its dictionary, in which JSON has made lists of tuples."""
    if given is None or isinstance(given, Objective):
        return given or Objective(smoothing)
    told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    return Objective(**told)


@keras.saving.register_keras_serializable("corolla")
class CrossEntropy(keras.losses.Loss):
    """Mean of `cross_entropy` over the records of a batch; padding (weight 0) does not count.

    y_true: labels int[b], which are smoothed, or targets float[b, classes], taken as they are; y_pred: logits
    float[b, classes]. The mean is that of the whole batch, also where each of several replicas sees a part of it:
    Keras' own reductions take the mean of the parts' means, and padding is in one of them.
    """

    def __init__(
        self, smoothing: float = 0.0, name: str = "cross_entropy", objective: Objective | dict[str, Any] | None = None
    ) -> None:
        """objective: instead of a smoothing, all that an `Objective` says; also as the dictionary that Keras keeps."""
        super().__init__(name=name)
        self.objective = _objective(smoothing, objective)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return this replica's share of the mean, float32[]: of the whole mean where there is one replica."""
        losses = self.call(y_true, y_pred)
        weights = ops.ones_like(losses) if sample_weight is None else ops.cast(sample_weight, "float32")
        return ops.divide_no_nan(ops.sum(losses * weights), over_replicas(ops.sum(weights))[0])

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return float32[b]."""
        return self.objective.losses(y_pred, self.objective.targets(y_true, y_pred.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this loss."""
        return {"objective": asdict(self.objective), "name": self.name}


class Seen(keras.metrics.Metric):
    """What an epoch has added up: the weighted loss, the weight, and the confusion matrix; as `step.Sums`.

    Its result is a dictionary of `loss`, `accuracy` and `macro_f1` (over the classes present). Keras' own running loss
    counts padding as if it were records.
    """

    def __init__(
        self,
        classes: int,
        smoothing: float = 0.0,
        name: str = "seen",
        objective: Objective | dict[str, Any] | None = None,
    ) -> None:
        """smoothing, objective: as of `CrossEntropy`, for the loss alone."""
        super().__init__(name=name)
        self.objective = _objective(smoothing, objective)
        self.loss = self.add_variable((), "zeros", "float32", name="loss")
        self.weight = self.add_variable((), "zeros", "float32", name="weight")
        self.confusion = self.add_variable((classes, classes), "zeros", "int32", name="confusion")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add one batch. y_true: labels int[b], or targets float[b, classes], which count as their largest.

        y_pred: logits float[b, classes]; sample_weight: float[b], None: ones.
        """
        targets = self.objective.targets(y_true, y_pred.shape[-1])
        labels = ops.argmax(targets, axis=1)
        weights = ops.ones_like(y_pred[:, 0]) if sample_weight is None else ops.cast(sample_weight, "float32")
        losses = self.objective.losses(y_pred, targets)
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
