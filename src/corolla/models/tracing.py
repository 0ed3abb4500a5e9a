"""A Keras model as a graph of plain operations.

Takes: a functional model of `registry`, names for its weights.
Gives: `traced`: a `Graph`; UntraceableError where a layer does something that no operation of a graph does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from corolla.backend import keras
from corolla.graph import Graph, Node

_ACTIVATIONS = {"relu", "relu6", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "gelu", "softmax", "linear"}


class UntraceableError(Exception):
    """A layer that graphs have no operation for."""


class _Value:
    """What stands in the place of an array while a model is traced: the number of the node that computes it."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Trace:
    """The nodes so far."""

    def __init__(self, names: dict[int, str]) -> None:
        """names: of every variable, by its id."""
        self.names, self.nodes = names, [Node("input")]

    def add(self, operation: str, *inputs: Any, weights: dict[str, Any] | None = None, **settings: Any) -> _Value:
        """One node more; weights that are None are left out."""
        for each in inputs:
            if not isinstance(each, _Value):
                raise UntraceableError(f"{operation} of a constant")
        used = {role: self.names[id(variable)] for role, variable in (weights or {}).items() if variable is not None}
        self.nodes.append(Node(operation, tuple(each.number for each in inputs), settings, used))
        return _Value(len(self.nodes) - 1)

    def run(self, model: Any, values: Any) -> Any:
        """Trace a model, and the models inside it."""
        graph = getattr(model, "_functional", None) or model  # a Sequential keeps its layers in another model
        return graph._run_through_graph(values, operation_fn=self.of)

    def of(self, layer: Any) -> Callable[..., Any]:
        """What to do in the place of a layer."""
        if isinstance(layer, keras.Model):
            return lambda values, **_: self.run(layer, values)
        kind = next((kind.__name__ for kind in type(layer).__mro__ if kind.__name__ in _LAYERS), None)
        if kind is None:
            raise UntraceableError(type(layer).__name__)
        return lambda *inputs, **words: _LAYERS[kind](self, layer, *inputs, **_known(words))


def traced(model: Any, names: dict[str, Any]) -> Graph:
    """The graph of a model in inference. names: its variables by the names that their values are kept under.

    Raises UntraceableError.
    """
    trace = _Trace({id(variable): name for name, variable in names.items()})
    height, width, channels = model.input_shape[1:]
    if height != width or channels != 3:
        raise UntraceableError(f"images of {height} x {width} x {channels}")
    trace.run(model, [_Value(0)])
    return Graph(height, tuple(trace.nodes))


def _known(words: dict[str, Any]) -> dict[str, Any]:
    """Keywords of a call, without those that say how it is meant."""
    return {name: value for name, value in words.items() if name not in ("training", "mask")}


# Layers -----------------------------------------------------------------------------------------------------------


def _pair(value: Any) -> list[int]:
    return [int(each) for each in (value if isinstance(value, (tuple, list)) else (value, value))]


def _windows(layer: Any, size: Any) -> dict[str, Any]:
    """How a layer's windows lie. Refuses what no graph says: channels first, dilation, several kernels a channel."""
    _plain(layer)
    if set(_pair(getattr(layer, "dilation_rate", 1))) != {1} or getattr(layer, "depth_multiplier", 1) != 1:
        raise UntraceableError(f"{type(layer).__name__} with dilation or a multiplier")
    if layer.padding not in ("same", "valid"):
        raise UntraceableError(f"{type(layer).__name__} with padding {layer.padding}")
    return {"size": _pair(size), "strides": _pair(layer.strides), "padding": layer.padding}


def _plain(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UntraceableError(f"{type(layer).__name__} with channels first")


def _kernel(kernel: Any, layer: Any) -> dict[str, Any]:
    return {"kernel": kernel, "bias": layer.bias if layer.use_bias else None}


def _conv(trace: _Trace, layer: Any, x: Any) -> _Value:
    windows, own_group = (
        _windows(layer, layer.kernel_size),
        layer.groups == layer.filters and layer.kernel.shape[2] == 1,
    )
    if layer.groups > 1 and not own_group:
        raise UntraceableError("Conv2D in groups")
    if layer.groups > 1:  # kernel[h, w, 1, c]
        found = trace.add("depthwise", x, weights=_kernel(layer.kernel, layer), turned=True, **windows)
    else:
        found = trace.add("conv", x, weights=_kernel(layer.kernel, layer), **windows)
    return _activated(trace, layer, found)


def _depthwise(trace: _Trace, layer: Any, x: Any) -> _Value:
    windows = _windows(layer, layer.kernel_size)
    return _activated(trace, layer, trace.add("depthwise", x, weights=_kernel(layer.kernel, layer), **windows))


def _separable(trace: _Trace, layer: Any, x: Any) -> _Value:
    x = trace.add("depthwise", x, weights={"kernel": layer.depthwise_kernel}, **_windows(layer, layer.kernel_size))
    one = {"size": [1, 1], "strides": [1, 1], "padding": "valid"}
    return _activated(trace, layer, trace.add("conv", x, weights=_kernel(layer.pointwise_kernel, layer), **one))


def _dense(trace: _Trace, layer: Any, x: Any) -> _Value:
    return _activated(trace, layer, trace.add("dense", x, weights=_kernel(layer._kernel, layer)))


def _activated(trace: _Trace, layer: Any, x: _Value) -> _Value:
    function = layer.activation
    if function is None:
        return x
    name = getattr(function, "__name__", type(function).__name__)
    if name not in _ACTIVATIONS:
        raise UntraceableError(f"the activation {name}")
    return x if name == "linear" else trace.add("activation", x, kind=name)


def _relu(trace: _Trace, layer: Any, x: Any) -> _Value:
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        raise UntraceableError("ReLU with a slope or a threshold")
    return trace.add("activation", x, kind="relu" if layer.max_value is None else "relu6")


def _batch_norm(trace: _Trace, layer: Any, x: Any) -> _Value:
    weights = {"mean": layer.moving_mean, "variance": layer.moving_variance}
    weights |= {"gamma": layer.gamma if layer.scale else None, "beta": layer.beta if layer.center else None}
    return trace.add("normalise", x, weights=weights, epsilon=float(layer.epsilon))


def _normalization(trace: _Trace, layer: Any, x: Any) -> _Value:
    if layer.invert:
        raise UntraceableError("Normalization turned round")
    if layer.input_mean is None:
        return trace.add(
            "normalise", x, weights={"mean": layer.adapt_mean, "variance": layer.adapt_variance}, epsilon=0.0
        )
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64).ravel()), keras.config.epsilon())
    mean = np.asarray(layer.mean, np.float64).ravel()
    return trace.add("affine", x, scale=(1 / deviation).tolist(), shift=(-mean / deviation).tolist())


def _rescaling(trace: _Trace, layer: Any, x: Any) -> _Value:
    scale, shift = (
        np.atleast_1d(np.asarray(each, np.float64)).ravel().tolist() for each in (layer.scale, layer.offset)
    )
    return trace.add("affine", x, scale=scale, shift=shift)


def _layer_norm(trace: _Trace, layer: Any, x: Any) -> _Value:
    if list(np.atleast_1d(layer.axis)) != [-1] or getattr(layer, "rms_scaling", False):
        raise UntraceableError("LayerNormalization over other axes than the last")
    weights = {"gamma": layer.gamma if layer.scale else None, "beta": layer.beta if layer.center else None}
    return trace.add("layer_norm", x, weights=weights, epsilon=float(layer.epsilon))


def _pool(trace: _Trace, layer: Any, x: Any) -> _Value:
    operation = "max_pool" if "Max" in type(layer).__name__ else "average_pool"
    return trace.add(operation, x, **_windows(layer, layer.pool_size))


def _global_average(trace: _Trace, layer: Any, x: Any) -> _Value:
    _plain(layer)
    return trace.add("global_average", x, keep=bool(layer.keepdims))


def _pad(trace: _Trace, layer: Any, x: Any) -> _Value:
    (top, bottom), (left, right) = layer.padding
    return trace.add("pad", x, before=[top, left], after=[bottom, right])


def _crop(trace: _Trace, layer: Any, x: Any) -> _Value:
    (top, bottom), (left, right) = layer.cropping
    return trace.add("crop", x, before=[top, left], after=[bottom, right])


def _arithmetic(operation: str) -> Callable[..., _Value]:
    """A layer over a list of values, or Keras' operation on two of which one may be a number."""

    def of(trace: _Trace, layer: Any, *inputs: Any) -> _Value:
        values = list(inputs[0]) if len(inputs) == 1 else list(inputs)
        numbers = [float(each) for each in values if not isinstance(each, _Value)]
        if numbers:
            (x,) = (each for each in values if isinstance(each, _Value))
            scale, shift = (1.0, numbers[0]) if operation == "add" else (numbers[0], 0.0)
            return trace.add("affine", x, scale=[scale], shift=[shift])
        return trace.add(operation, *values)

    return of


def _concatenate(trace: _Trace, layer: Any, values: Any) -> _Value:
    if layer.axis not in (-1, 3):
        raise UntraceableError(f"Concatenate over axis {layer.axis}")
    return trace.add("concatenate", *values)


def _item(trace: _Trace, layer: Any, x: Any, key: Any) -> _Value:
    ellipsis, cut = key
    if ellipsis is not Ellipsis or not isinstance(cut, slice) or cut.step not in (None, 1):
        raise UntraceableError(f"a part [{key}]")
    return trace.add("channels", x, first=cut.start, last=cut.stop)


_LAYERS: dict[str, Callable[..., _Value]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "LayerNormalization": _layer_norm,
    "LayerScale": lambda trace, layer, x: trace.add("scale", x, weights={"gamma": layer.gamma}),
    "Activation": lambda trace, layer, x: _activated(trace, layer, x),
    "ReLU": _relu,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _global_average,
    "ZeroPadding2D": _pad,
    "Cropping2D": _crop,
    "Add": _arithmetic("add"),
    "Multiply": _arithmetic("multiply"),
    "Concatenate": _concatenate,
    "Reshape": lambda trace, layer, x: trace.add("reshape", x, shape=[int(n) for n in layer.target_shape]),
    "Dropout": lambda trace, layer, x: x,
    "StochasticDepth": lambda trace, layer, x: x,
    "GetItem": _item,
}
"""By the name of a Keras class, or of one that it is made of (`lowering` makes subclasses)."""
