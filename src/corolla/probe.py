"""The probe: a linear head on the features of a frozen backbone, solved to convergence.

Takes: features float32[n, views, f] of the training split, labels int[n].
Gives: `Head` (kernel and bias) and how it was chosen. It is the whole of a quick run and the start of every fine-tune.

Multinomial logistic regression with an L2 penalty is convex, so L-BFGS (Liu & Nocedal, 1989) finds *the* solution in
about a hundred passes over the features, which takes seconds where stochastic descent takes epochs over the pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray
from scipy.optimize import minimize

from corolla import hosts
from corolla.mesh import compiler_options, copied, spread
from corolla.metrics import confusion_matrix, macro_f1

PENALTIES = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
"""Penalties tried, strongest first; each starts from the last one's solution."""

HELD_OUT = 5
"""Every fifth record of each class is held out to choose the penalty; the final head learns from all."""

MAX_ITERATIONS = 300

ROUGH, EXACT = 1e-5, 1e-6
"""Smallest part by which a step must lower the loss: to choose the penalty by, and for the head itself."""


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
    """Mean of each feature and one spread for all of a level, folded into the head after solving: each float32[f].

    One spread, because the features' relative sizes carry information that the penalty should see: a spread for each
    feature cost 0.008 macro F1 on Oxford-102 photos. But levels count the same together: the penalty would silence one
    whose numbers are small.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, features: NDArray[np.float32], widths: Sequence[int] = ()) -> "Scaling":
        """The scaling of features[..., f]. widths: of the levels, which add up to f; none: all are one."""
        rows = features.reshape(-1, features.shape[-1])
        widths = widths or (rows.shape[1],)
        levels = np.split(rows.var(axis=0), np.cumsum(widths)[:-1])
        # so that the squares of a level add up to as much as those of the others, and all of them have mean 1
        spreads = np.sqrt([level.sum() * len(levels) / rows.shape[1] for level in levels])
        return cls(rows.mean(axis=0), np.repeat(np.maximum(spreads, 1e-6), widths).astype(np.float32))


class Solution(NamedTuple):
    """What L-BFGS ended with: values float64[(f + 1) * classes], kernel rows first, the bias last."""

    values: NDArray[np.float64]
    iterations: int


class Rows(NamedTuple):
    """Training rows on the devices, split over them: x float32[r, f], y int32[r], weight float32[r] (sums to 1)."""

    x: jax.Array
    y: jax.Array
    weight: jax.Array


def solve(mesh: Mesh, features: NDArray[np.float32], labels: NDArray, classes: int, widths: Sequence[int] = ()) -> Head:
    """Choose the penalty on held-out records by macro F1, then fit the head on all.

    features: float32[n, views, f]: every view of a record is a training row of its own. labels: int[n]. widths: of the
    levels that the features come from, if several.
    """
    scaling = Scaling.of(features, widths)
    start, penalty = Solution(np.zeros((features.shape[-1] + 1) * classes), 0), PENALTIES[0]
    held = held_out(labels)
    if held.any():
        start, penalty = _choose(mesh, scaling, features[:, 0], labels, classes, held)
    found = _fit(mesh, _on_devices(mesh, scaling, features, labels), classes, penalty, start, EXACT)
    return _head(found, scaling, classes, penalty)


def held_out(labels: NDArray) -> NDArray[np.bool_]:
    """Every fifth record of each class (of those with five or more), in the order they come; bool[n]."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[HELD_OUT - 1 :: HELD_OUT]] = True
    return held


def _choose(
    mesh: Mesh, scaling: Scaling, features: NDArray, labels: NDArray, classes: int, held: NDArray
) -> tuple[Solution, float]:
    """The penalty that serves held-out records best, from one view a record (half the rows, the same ranking)."""
    rows = _on_devices(mesh, scaling, features[~held][:, None], labels[~held])
    found, best = Solution(np.zeros((features.shape[-1] + 1) * classes), 0), (-1.0, 0.0)
    chosen = found
    for penalty in PENALTIES:
        found = _fit(mesh, rows, classes, penalty, found, ROUGH)
        predicted = _head(found, scaling, classes, penalty).logits(features[held]).argmax(axis=1)
        reached = (float(macro_f1(confusion_matrix(labels[held], predicted, classes), present_only=True)), penalty)
        if hosts.agreed(reached > best):
            best, chosen = reached, found
    return chosen, best[1]


def _head(found: Solution, scaling: Scaling, classes: int, penalty: float) -> Head:
    weights = found.values.reshape(-1, classes).astype(np.float32)
    kernel = weights[:-1] / scaling.spread[:, None]
    return Head(kernel, weights[-1] - scaling.mean @ kernel, penalty, found.iterations)


def _on_devices(mesh: Mesh, scaling: Scaling, features: NDArray, labels: NDArray) -> Rows:
    """Scale features[n, views, f] and split their rows over the devices; padding has weight 0."""
    views, width = features.shape[1:]
    x = (features.reshape(-1, width) - scaling.mean) / scaling.spread
    y = np.repeat(labels, views).astype(np.int32)
    missing = -len(x) % mesh.size
    weight = np.pad(np.full(len(x), 1 / len(x), np.float32), (0, missing))
    rows = Rows(np.pad(x, ((0, missing), (0, 0))), np.pad(y, (0, missing)), weight)  # pyright: ignore
    return Rows(*(spread(mesh, part) for part in rows))  # pyright: ignore


def _fit(mesh: Mesh, rows: Rows, classes: int, penalty: float, start: Solution, least: float) -> Solution:
    """L-BFGS on the host, loss and gradient on the devices.

    Of several hosts process 0 alone steps, and the others follow: where their processors rounded differently, they
    would not end after the same number of steps.
    """
    shape = (rows.x.shape[1] + 1, classes)
    loss_and_gradient = _compiled_for(mesh)

    def objective(flat: NDArray) -> tuple[float, NDArray]:
        at = hosts.arrays_from_first({"at": flat})["at"].reshape(shape).astype(np.float32)
        value, gradient = loss_and_gradient(at, rows, penalty)
        return float(value), np.asarray(gradient, np.float64).ravel()

    if not hosts.first():
        while (at := hosts.arrays_from_first({})).keys() == {"at"}:
            loss_and_gradient(at["at"].reshape(shape).astype(np.float32), rows, penalty)
        return Solution(at["solution"], int(at["iterations"]))
    options = {"maxiter": MAX_ITERATIONS, "ftol": least, "gtol": 1e-5}
    found = minimize(objective, start.values, jac=True, method="L-BFGS-B", options=options)
    hosts.arrays_from_first({"solution": found.x, "iterations": np.array(found.nit)})
    return Solution(found.x, int(found.nit))


@cache
def _compiled_for(mesh: Mesh) -> Callable[..., tuple[jax.Array, jax.Array]]:
    return jax.jit(_loss_and_gradient, out_shardings=copied(mesh), compiler_options=compiler_options(mesh))


def _loss_and_gradient(values: jax.Array, rows: Rows, penalty: float) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy plus penalty / 2 · |kernel|², and its gradient; the bias is free.

    values and gradient: float32[f + 1, classes]. The gradient is written out so that its product has the features on
    the right: XLA runs that a quarter faster on a CPU than the form that differentiation gives.
    """
    kernel, bias = values[:-1], values[-1]
    # TPUs and GPUs would round float32 products to bfloat16 or tf32, and L-BFGS would stall
    logits = jnp.matmul(rows.x, kernel, precision=jax.lax.Precision.HIGHEST) + bias
    logged = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(logged, rows.y[:, None], axis=1)[:, 0]
    loss = -(own * rows.weight).sum() + 0.5 * penalty * (kernel**2).sum()
    slopes = (jnp.exp(logged) - jax.nn.one_hot(rows.y, len(bias))) * rows.weight[:, None]
    turned = jnp.matmul(slopes.T, rows.x, precision=jax.lax.Precision.HIGHEST)
    return loss, jnp.concatenate([turned.T + penalty * kernel, slopes.sum(axis=0)[None]])
