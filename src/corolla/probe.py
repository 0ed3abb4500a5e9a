"""The probe: a linear head on the features of a frozen backbone, solved to convergence.

Takes: features float32[n, views, f] of the training split, labels int[n].
Gives: `Head` (kernel and bias) and how it was chosen. It is the whole of a quick run and the start of every fine-tune.

Multinomial logistic regression with an L2 penalty is convex, so L-BFGS (Liu & Nocedal, 1989) finds *the* solution in
about a hundred passes over the features, which takes seconds where stochastic descent takes epochs over the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray
from scipy.optimize import minimize

from corolla.mesh import copied, split
from corolla.metrics import confusion_matrix, macro_f1

PENALTIES = (3e-2, 1e-2, 3e-3, 1e-3)
"""Penalties tried, strongest first; each starts from the last one's solution."""

HELD_OUT = 5
"""Every fifth record of each class is held out to choose the penalty; the final head learns from all."""

MAX_ITERATIONS = 300


@dataclass(frozen=True)
class Head:
    """A linear classifier on features: kernel float32[f, classes], bias float32[classes]."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    penalty: float
    iterations: int

    def logits(self, features: NDArray) -> NDArray[np.float32]:
        """features float32[..., f] to logits float32[..., classes]."""
        return features @ self.kernel + self.bias


@dataclass(frozen=True)
class Scaling:
    """Mean and spread of each feature, folded into the head after solving (they only help L-BFGS converge)."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


def solve(mesh: Mesh, features: NDArray[np.float32], labels: NDArray, classes: int) -> Head:
    """Choose the penalty on held-out records by macro F1, then fit the head on all.

    features: float32[n, views, f]: every view of a record is a training row of its own. labels: int[n].
    """
    scaling = _scaling(features)
    held = held_out(labels)
    penalty = PENALTIES[0]
    if held.any() and not held.all():
        penalty = _choose(mesh, features, labels, classes, scaling, held)
    values, iterations = _fit(mesh, features, labels, classes, scaling, penalty, None)
    return _head(values, scaling, classes, penalty, iterations)


def held_out(labels: NDArray) -> NDArray[np.bool_]:
    """Every fifth record of each class (of those with five or more), in the order they come; bool[n]."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[HELD_OUT - 1 :: HELD_OUT]] = True
    return held


def _choose(mesh: Mesh, features: NDArray, labels: NDArray, classes: int, scaling: Scaling, held: NDArray) -> float:
    values, best = None, (-1.0, PENALTIES[0])
    for penalty in PENALTIES:
        values, iterations = _fit(mesh, features[~held], labels[~held], classes, scaling, penalty, values)
        head = _head(values, scaling, classes, penalty, iterations)
        predicted = head.logits(features[held][:, 0]).argmax(axis=1)
        reached = float(macro_f1(confusion_matrix(labels[held], predicted, classes), present_only=True))
        best = max(best, (reached, penalty))
    return best[1]


def _scaling(features: NDArray[np.float32]) -> Scaling:
    """One spread for all features: their relative sizes carry information that the penalty should see."""
    rows = features.reshape(-1, features.shape[-1])
    spread = np.full(rows.shape[1], max(float(rows.std()), 1e-6), np.float32)
    return Scaling(rows.mean(axis=0), spread)


def _head(values: NDArray, scaling: Scaling, classes: int, penalty: float, iterations: int) -> Head:
    weights = values.reshape(-1, classes).astype(np.float32)
    kernel = weights[:-1] / scaling.spread[:, None]
    return Head(kernel, weights[-1] - scaling.mean @ kernel, penalty, iterations)


Objective = Callable[[NDArray], tuple[float, NDArray]]


def _fit(
    mesh: Mesh,
    features: NDArray,
    labels: NDArray,
    classes: int,
    scaling: Scaling,
    penalty: float,
    start: NDArray | None,
) -> tuple[NDArray[np.float64], int]:
    """L-BFGS on the host, loss and gradient on the devices. Returns (values[(f + 1) * classes], iterations)."""
    objective = _objective(mesh, features, labels, classes, scaling, penalty)
    if start is None:
        start = np.zeros((features.shape[-1] + 1) * classes)
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    )
    return found.x, int(found.nit)


def _objective(
    mesh: Mesh, features: NDArray, labels: NDArray, classes: int, scaling: Scaling, penalty: float
) -> Objective:
    """Mean cross-entropy plus penalty / 2 · |kernel|², rows split over the devices; the bias is free."""
    views, width = features.shape[1:]
    rows = (features.reshape(-1, width) - scaling.mean) / scaling.spread
    missing = -len(rows) % mesh.size
    weight = np.pad(np.full(len(rows), 1 / len(rows), np.float32), (0, missing))
    x = jax.device_put(np.pad(rows, ((0, missing), (0, 0))), split(mesh))
    y = jax.device_put(np.pad(np.repeat(labels, views).astype(np.int32), (0, missing)), split(mesh))
    w = jax.device_put(weight, split(mesh))

    def loss(values: jax.Array) -> jax.Array:
        kernel, bias = values[:-1], values[-1]
        logged = jax.nn.log_softmax(_product(x, kernel) + bias)
        own = jnp.take_along_axis(logged, y[:, None], axis=1)[:, 0]
        return -(own * w).sum() + 0.5 * penalty * (kernel**2).sum()

    program = jax.jit(jax.value_and_grad(loss), out_shardings=copied(mesh))

    def objective(flat: NDArray) -> tuple[float, NDArray]:
        value, gradient = program(flat.reshape(width + 1, classes).astype(np.float32))
        return float(value), np.asarray(gradient, np.float64).ravel()

    return objective


def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Full float32 products: TPUs and GPUs would otherwise round to bfloat16 or tf32, and L-BFGS would stall."""
    return jnp.matmul(x, kernel, precision=jax.lax.Precision.HIGHEST)
