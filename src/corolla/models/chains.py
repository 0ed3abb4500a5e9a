"""Chains of layers in one pass: a depthwise convolution, its batch norm and its ReLU, on a CPU.

Takes: a functional Keras model under the JAX backend, and images.
Gives: `call` (as calling the model, the same numbers up to rounding), for a whole batch or for rows of one (`Rows`);
`stateless` (with values for the variables); and whether a batch may be cut into rows (`by_image`).

XLA fuses what stands after a product or a sum of its own, but not what stands after a call of C++: there batch norm and
ReLU are a pass over the activations of their own. Here the norm's scale goes into the kernel (exact where it normalises
with stored statistics), its shift and the ReLU's limits into the C++.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
from jax import numpy as jnp

from corolla.backend import keras
from corolla.models import lowering

_NO_LIMIT = float("inf")


class _Chain(NamedTuple):
    """Three layers of which each has no other reader than the next."""

    convolution: Any
    norm: Any
    activation: Any


class Rows(NamedTuple):
    """Which rows of a batch of `whole` images are meant: `size` of them from `first` on."""

    first: jax.Array
    size: int
    whole: int


def plain_call(model: keras.Model, images: jax.Array) -> jax.Array:
    """Call a model in training as Keras does."""
    return model(images, training=True)


def stateless(
    model: keras.Model,
    trainable: Sequence[jax.Array],
    non_trainable: Sequence[jax.Array],
    images: jax.Array,
    run: Callable[..., jax.Array] = plain_call,
) -> tuple[jax.Array, list[jax.Array]]:
    """run(model, images) with these values of the variables: (outputs, the new non-trainable values)."""
    values = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, non_trainable, strict=True),
    ]
    with keras.StatelessScope(state_mapping=values) as scope:
        outputs = run(model, images)
    found = [scope.get_current_value(variable) for variable in model.non_trainable_variables]
    return outputs, [before if after is None else after for before, after in zip(non_trainable, found, strict=True)]


def call(function: Any, images: jax.Array, training: bool = False, rows: Rows | None = None) -> jax.Array:
    """Run a model or a `keras.Function`. What is not functional runs as it does.

    rows: which images of a batch these are; dropout then drops what it would drop of them in the whole batch.
    """
    if not hasattr(function, "_nodes_by_depth"):
        return _plain(function, training)(images)
    roles = dict(_roles(_chains(function), training))

    def instead(operation: Any) -> Callable[..., Any]:
        if id(operation) in roles:
            return roles[id(operation)]
        if isinstance(operation, keras.Model):
            return lambda images, **_: call(operation, images, training, rows)
        if isinstance(operation, keras.layers.Dropout) and rows is not None:
            return partial(_dropped, operation, rows)
        return _plain(operation, training)

    return function._run_through_graph(images, operation_fn=instead)


def _plain(operation: Any, training: bool) -> Callable[..., Any]:
    """Call an operation, told whether it trains, if it wants to know, as Keras' functional models do."""
    told = {"training": training} if "training" in getattr(operation, "_call_context_args", ()) else {}
    return lambda *inputs, **words: operation(*inputs, **{**words, **told})


def _dropped(layer: Any, rows: Rows, x: jax.Array, **_: Any) -> jax.Array:
    """Dropout of some rows of a batch: drawn for all of it, which costs little of features."""
    factors = layer(jnp.ones((rows.whole, *x.shape[1:]), x.dtype), training=True)
    return x * jax.lax.dynamic_slice_in_dim(factors, rows.first, rows.size)


def by_image(model: Any) -> bool:
    """Whether no image's outputs depend on another in the batch, in training, so that it can be cut into groups.

    Batch norm must not take the batch's statistics; and of chance there must be none but dropout of vectors, which
    `call` draws for the whole batch.
    """
    if not hasattr(model, "_nodes_by_depth"):
        return False
    for layer in model.operations:
        if isinstance(layer, keras.Model):
            alone = by_image(layer)
        elif isinstance(layer, keras.layers.Dropout):
            alone = len(cast(Any, layer.output).shape) == 2
        else:
            alone = not isinstance(layer, keras.Layer) or not any(map(_mixes, layer._flatten_layers()))
        if not alone:
            return False
    return True


def _mixes(layer: Any) -> bool:
    """Whether a layer draws of its own, or takes statistics of the batch."""
    counts = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    return counts or any("seed_generator" in variable.path for variable in layer.non_trainable_variables)


# Finding ----------------------------------------------------------------------------------------------------------


def _chains(function: Any) -> list[_Chain]:
    """The chains of a graph, of layers that stand in it once."""
    nodes = [node for alike in function._nodes_by_depth.values() for node in alike if not node.is_input]
    times = Counter(id(node.operation) for node in nodes)
    outputs = {id(tensor) for tensor in function.outputs}
    readers: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)

    def after(node: Any) -> Any:
        """The one node that reads another's one result, or None."""
        result = None if node is None else id(node.outputs[0])
        read = readers.get(result, []) if result is not None else []
        return read[0] if len(read) == 1 and result not in outputs else None

    found = []
    for node in nodes:
        three = [node, norm := after(node), after(norm)]
        if all(each is not None and times[id(each.operation)] == 1 for each in three):
            chain = _Chain(*(cast(Any, each).operation for each in three))
            found += [chain] if _fits(chain) else []
    return found


def _fits(chain: _Chain) -> bool:
    convolution, norm, activation = chain
    return (
        isinstance(convolution, lowering.DepthwiseConv2D)
        and not convolution.use_bias
        and getattr(convolution.activation, "__name__", "linear") == "linear"
        and isinstance(norm, keras.layers.BatchNormalization)
        and norm.axis in (-1, 3)
        and _limits(activation) is not None
    )


def _limits(activation: Any) -> tuple[float, float] | None:
    """Where a ReLU cuts off, or None for what is no plain ReLU."""
    if isinstance(activation, keras.layers.ReLU):
        plain = not activation.negative_slope and not activation.threshold
        most = _NO_LIMIT if activation.max_value is None else float(activation.max_value)
        return (0.0, most) if plain else None
    if isinstance(activation, keras.layers.Activation):
        most = {"relu": _NO_LIMIT, "relu6": 6.0}.get(getattr(activation.activation, "__name__", ""))
        return None if most is None else (0.0, most)
    return None


# Running ----------------------------------------------------------------------------------------------------------


def _roles(chains: Sequence[_Chain], training: bool) -> Iterator[tuple[int, Callable[..., Any]]]:
    """(id of a layer, what to do in its place): the first two hand on, the last does the work of all three."""
    for chain in chains:
        if not (training and chain.norm.trainable):  # the batch's own statistics want its activations first
            yield id(chain.convolution), lambda x: x
            yield id(chain.norm), lambda x, **_: x
            yield id(chain.activation), lambda x, chain=chain: _run(chain, x)


def _run(chain: _Chain, x: jax.Array) -> jax.Array:
    convolution, norm, activation = chain
    kernel = _value(convolution.kernel)
    if not lowering.is_native(x, kernel):
        return activation(norm(convolution(x), training=False))
    scale = jax.lax.rsqrt(_value(norm.moving_variance) + norm.epsilon) * (_value(norm.gamma) if norm.scale else 1)
    shift = (_value(norm.beta) if norm.center else 0) - _value(norm.moving_mean) * scale
    limits = _limits(activation)
    assert limits is not None
    settings = tuple(convolution.strides), convolution.padding, limits
    y = lowering.clipped(x.astype(convolution.compute_dtype), kernel * scale[:, None], shift, *settings)
    return cast(jax.Array, y).astype(activation.compute_dtype)


def _value(variable: Any) -> jax.Array:
    return cast(jax.Array, keras.ops.convert_to_tensor(variable))
