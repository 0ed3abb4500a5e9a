"""A graph, worked off by NumPy alone: an answer for one photo before JAX or PyTorch would be imported.

Takes: a `Graph`, its weights by name, images. Gives: `Interpreter`, called with float32[b, s, s, 3] or uint8, 0 to 255.

For a few photos: large numbers of them are faster through `inference`, which compiles. Batch normalisation is folded
into the convolution before it, once, when the interpreter is made; everything is float32.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError
from corolla.graph import Graph, Node

Array = NDArray[np.float32]
Step = Callable[..., Array]


class Interpreter:
    """A model ready to be called. Raises RunError for weights that are missing and operations that are not known."""

    def __init__(self, graph: Graph, weights: Mapping[str, NDArray], source: str = "the graph") -> None:
        self.image_size, self._nodes = graph.image_size, []
        readers = Counter(number for node in graph.nodes for number in node.inputs)
        folded: dict[int, int] = {}
        """Numbers of nodes that became part of an earlier one."""
        for number, node in enumerate(graph.nodes):
            values = _own(node, weights, source)
            inputs = [folded.get(each, each) for each in node.inputs]
            before = self._nodes[inputs[0]] if len(inputs) == 1 else None
            if before is not None and readers[node.inputs[0]] == 1 and _fold(before, node, values):
                folded[number] = inputs[0]
                self._nodes.append(None)
            else:
                self._nodes.append(_Prepared(node, inputs, values, source))
        self._last = folded.get(len(graph.nodes) - 1, len(graph.nodes) - 1)
        self._until = {each: number for number, node in enumerate(self._nodes) if node for each in node.inputs}

    def __call__(self, images: NDArray) -> Array:
        """The outputs of a batch: float32[b, outputs]."""
        return self._values(images, (self._last,))[0]

    def with_features(self, images: NDArray) -> tuple[Array, Array]:
        """What the last operation takes, and what it gives: features float32[b, f] of a classifier, and its logits."""
        features, outputs = self._values(images, (self._nodes[self._last].inputs[0], self._last))
        return features, outputs

    def with_maps(self, images: NDArray) -> tuple[list[Array], Array]:
        """The feature maps float32[b, h, w, c] whose means the head takes, in its order, and the outputs.

        No maps where it takes something else.
        """
        *maps, outputs = self._values(images, (*self._averaged(), self._last))
        return maps, outputs

    def kernel_of_maps(self) -> Array | None:
        """By what the head multiplies the means of these maps, float32[f, outputs]; None where there are none."""
        return self._nodes[self._last].values["kernel"] if self._averaged() else None

    def _averaged(self) -> list[int]:
        """Numbers of the nodes of whose means the head, and nothing else, makes the outputs."""
        head = self._nodes[self._last]
        if head.operation != "dense" or head.ends:
            return []
        return self._averages(head.inputs[0]) or []

    def _averages(self, number: int) -> list[int] | None:
        node = self._nodes[number]
        if node.operation == "global_average":
            return node.inputs
        if node.operation == "reshape" and self._nodes[node.inputs[0]].operation == "global_average":
            return self._nodes[node.inputs[0]].inputs
        if node.operation == "concatenate":
            parts = [self._averages(each) for each in node.inputs]
            return None if None in parts else [each for part in parts for each in part or []]
        return None

    def _values(self, images: NDArray, wanted: Sequence[int]) -> list[Array]:
        """The values of some nodes; others are let go of when they have been read for the last time."""
        values: dict[int, Array] = {}
        for number, node in enumerate(self._nodes):
            if node is None:
                continue
            taken = [values[each] for each in node.inputs] if number else [np.asarray(images, np.float32)]
            values[number] = node.run(*taken)
            for each in {*node.inputs} - {*wanted}:
                if self._until[each] == number:
                    del values[each]
        return [values[each] for each in wanted]


class _Prepared:
    """A node with its weights at hand. affine: of what follows it and was folded in; ends: activations after it."""

    def __init__(self, node: Node, inputs: list[int], values: dict[str, Array], source: str) -> None:
        self.operation, self.inputs, self.values, self.source = node.operation, inputs, values, source
        self.settings = {name: value for name, value in node.settings.items() if name not in values}
        self.ends: list[str] = []
        if node.operation not in _STEPS:
            raise RunError(f"{source}: the operation {node.operation} is not known to this version of Corolla")

    def run(self, *inputs: Array) -> Array:
        """The operation and what was folded into it, which is done in place: those of `_FOLDING` give new arrays."""
        try:
            found = _STEPS[self.operation](*inputs, **self.values, **self.settings)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise RunError(f"{self.source}: {self.operation} cannot be done ({error}): it is damaged") from error
        for kind in self.ends:
            found = _ACTIVATIONS[kind](found, found)
        return found


def _own(node: Node, weights: Mapping[str, NDArray], source: str) -> dict[str, Any]:
    """A node's weights. Batch normalisation becomes a scale and a shift."""
    try:
        values = {role: np.asarray(weights[name], np.float32) for role, name in node.weights.items()}
    except KeyError as error:
        raise RunError(f"{source}: the weight {error} is missing: these are the weights of another model") from error
    if node.operation == "affine":
        return {role: np.asarray(node.settings[role], np.float32) for role in ("scale", "shift")}
    if node.operation == "normalise":
        variance, mean = values["variance"].ravel(), values["mean"].ravel()
        gamma, beta = values.get("gamma", np.ones_like(mean)), values.get("beta", np.zeros_like(mean))
        scale = gamma / np.sqrt(variance + np.float32(node.settings["epsilon"]))
        return {"scale": scale, "shift": beta - mean * scale}
    return values


def _fold(before: _Prepared, node: Node, values: dict[str, Array]) -> bool:
    """Make a node part of the one before it, where that can be."""
    if node.operation == "activation" and node.settings["kind"] in _ACTIVATIONS and before.operation in _FOLDING:
        before.ends.append(node.settings["kind"])
        return True
    if node.operation not in ("affine", "normalise") or before.ends or before.operation not in ("conv", "depthwise"):
        return False
    scale, shift = values["scale"], values["shift"]
    kernel = before.values["kernel"]
    by_row = before.operation == "depthwise" and not before.settings.get("turned")  # kernel[h, w, c, 1]
    before.values["kernel"] = kernel * (scale[:, None] if by_row and scale.size > 1 else scale)
    before.values["bias"] = before.values.get("bias", np.float32(0)) * scale + shift
    return True


# Operations -------------------------------------------------------------------------------------------------------


def _affine(x: Array, scale: Array, shift: Array, **_: Any) -> Array:
    found = x * scale
    found += shift
    return found


def _padded(x: Array, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Array:
    if not any(before) and not any(after):
        return x
    b, h, w, c = x.shape
    found = np.full((b, before[0] + h + after[0], before[1] + w + after[1], c), value, np.float32)
    found[:, before[0] : before[0] + h, before[1] : before[1] + w] = x
    return found


def _for_windows(x: Array, size: list[int], strides: list[int], padding: str, value: float = 0.0) -> Array:
    """Padded as TensorFlow's "same" has it: as little as lets every stride have a window, the odd zero after."""
    if padding == "valid":
        return x
    sides = zip(x.shape[1:3], size, strides, strict=True)
    missing = [max((-(-side // step) - 1) * step + window - side, 0) for side, window, step in sides]
    return _padded(x, [each // 2 for each in missing], [each - each // 2 for each in missing], value)


def _windows(x: Array, size: list[int], strides: list[int]) -> NDArray:
    """A view [b, h', w', rows, columns, c] of all windows."""
    seen = np.lib.stride_tricks.sliding_window_view(x, tuple(size), axis=(1, 2))  # pyright: ignore
    return seen[:, :: strides[0], :: strides[1]].transpose(0, 1, 2, 4, 5, 3)


def _conv(x: Array, kernel: Array, size: list[int], strides: list[int], padding: str, bias: Any = None) -> Array:
    outputs = kernel.shape[3]
    if size == [1, 1]:
        seen = x[:, :: strides[0], :: strides[1]]
    else:
        seen = _windows(_for_windows(x, size, strides, padding), size, strides)
    found = seen.reshape(-1, kernel.size // outputs) @ kernel.reshape(-1, outputs)
    if bias is not None:
        found += bias
    return found.reshape(*seen.shape[:3], outputs)


def _depthwise(
    x: Array, kernel: Array, size: list[int], strides: list[int], padding: str, bias: Any = None, turned: bool = False
) -> Array:
    """The sum over the taps of the shifted images, a few rows at a time, which stay in the cache."""
    taps = kernel.reshape(*size, -1)
    x = _for_windows(x, size, strides, padding)
    b, h, w, c = x.shape
    (rows, columns), (down, right) = size, strides
    high, wide = (h - rows) // down + 1, (w - columns) // right + 1
    found = np.empty((b, high, wide, c), np.float32)
    at_once = min(max(1, _CACHED_BYTES // (4 * wide * c)), high)
    held = np.empty((b, at_once, wide, c), np.float32)
    for first in range(0, high, at_once):
        part = found[:, first : first + at_once]
        part[...] = 0.0 if bias is None else bias
        for i, j in product(range(rows), range(columns)):
            top = first * down + i
            seen = x[:, top : top + (part.shape[1] - 1) * down + 1 : down, j : j + (wide - 1) * right + 1 : right]
            np.multiply(seen, taps[i, j], out=held[:, : part.shape[1]])
            part += held[:, : part.shape[1]]
    return found


_CACHED_BYTES = 256 * 1024
"""Rows of a depthwise convolution's result that are worked on at once."""


def _dense(x: Array, kernel: Array, bias: Any = None) -> Array:
    found = x @ kernel
    return found if bias is None else found + bias


def _layer_norm(x: Array, epsilon: float, gamma: Any = None, beta: Any = None) -> Array:
    mean = x.mean(axis=-1, keepdims=True)
    found = (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + np.float32(epsilon))
    found = found if gamma is None else found * gamma
    return found if beta is None else found + beta


def _max_pool(x: Array, size: list[int], strides: list[int], padding: str) -> Array:
    return _windows(_for_windows(x, size, strides, padding, -np.inf), size, strides).max(axis=(3, 4))


def _average_pool(x: Array, size: list[int], strides: list[int], padding: str) -> Array:
    total = _windows(_for_windows(x, size, strides, padding), size, strides).sum(axis=(3, 4))
    ones = np.ones((1, *x.shape[1:3], 1), np.float32)
    return total / _windows(_for_windows(ones, size, strides, padding), size, strides).sum(axis=(3, 4))


def _global_average(x: Array, keep: bool) -> Array:
    return x.mean(axis=(1, 2), keepdims=keep)


def _crop(x: Array, before: list[int], after: list[int]) -> Array:
    return x[:, before[0] : x.shape[1] - after[0], before[1] : x.shape[2] - after[1]]


def _all(function: Any) -> Step:
    def of(first: Array, *others: Array) -> Array:
        for other in others:
            first = function(first, other)
        return first

    return of


_STEPS: dict[str, Step] = {
    "input": lambda x: x,
    "affine": _affine,
    "normalise": _affine,
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "layer_norm": _layer_norm,
    "scale": lambda x, gamma: x * gamma,
    "activation": lambda x, kind: _ACTIVATIONS[kind](x, np.empty_like(x)),
    "add": _all(np.add),
    "multiply": _all(np.multiply),
    "concatenate": lambda *values: np.concatenate(values, axis=-1),
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "global_average": _global_average,
    "pad": _padded,
    "crop": _crop,
    "reshape": lambda x, shape: x.reshape(len(x), *shape),
    "channels": lambda x, first, last: x[..., first:last],
}
_FOLDING = ("conv", "depthwise", "dense", "add", "affine", "normalise")


# Activations, of x into out ---------------------------------------------------------------------------------------


def _sigmoid(x: Array, out: Array) -> Array:
    """By tanh, which does not overflow."""
    np.tanh(x * np.float32(0.5), out=out)
    out += np.float32(1)
    out *= np.float32(0.5)
    return out


def _silu(x: Array, out: Array) -> Array:
    return np.multiply(x, _sigmoid(x, np.empty_like(x)), out=out)


def _hard_sigmoid(x: Array, out: Array) -> Array:
    np.add(x / np.float32(6), np.float32(0.5), out=out)
    return np.clip(out, 0, 1, out=out)


def _hard_silu(x: Array, out: Array) -> Array:
    return np.multiply(x, _hard_sigmoid(x, np.empty_like(x)), out=out)


def _gelu(x: Array, out: Array) -> Array:
    """The exact one, by the error function of Abramowitz and Stegun, 7.1.26 (within 1.5e-7)."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(x)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(factor)
        series *= t
    error = np.copysign(1 - series * np.exp(-z * z), x)
    return np.multiply(x, np.float32(0.5) * (1 + error), out=out)


def _softmax(x: Array, out: Array) -> Array:
    np.exp(x - x.max(axis=-1, keepdims=True), out=out)
    out /= out.sum(axis=-1, keepdims=True)
    return out


_ACTIVATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "relu6": lambda x, out: np.clip(x, 0, 6, out=out),
    "silu": _silu,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "gelu": _gelu,
    "softmax": _softmax,
}
