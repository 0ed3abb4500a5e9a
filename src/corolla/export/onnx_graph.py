"""A model of plain operations as an ONNX graph: one or a few ONNX operators for each.

Takes: an `Interpreter`, in which normalisation is folded into the kernels. Gives: `model_of`, an onnx.ModelProto that
takes images float32[batch, s, s, 3] and gives logits float32[batch, classes].

Inside, values lie as ONNX wants them, channels first: [batch, c, h, w]. "Same" padding is written out in pixels,
because sides are known. Only old operators are used (opset 17, of 2022), so that old runtimes read it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError
from corolla.interpreter import Interpreter, Operation

OPSET, IR = 17, 8

Shape = tuple[int, ...]
"""Of a value without its batch, as in `graph`: (h, w, c) or (c,)."""

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class _Value:
    """A value: its name in the file, and its shape."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.shape = name, shape


class _Writer:
    """The nodes and constants so far."""

    def __init__(self) -> None:
        import onnx  # pyright: ignore

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One node more; returns the name of what it gives."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, values: NDArray | Sequence[int] | float) -> str:
        """A constant more: float32, or int64 where it is a list of whole numbers."""
        kind = np.int64 if isinstance(values, list) else np.float32
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return name

    def by_channel(self, values: NDArray, shape: Shape) -> str:
        """One number a channel, for arithmetic with a value of a shape."""
        return self.constant(values.reshape(-1, *[1] * (len(shape) - 1)))

    def finished(self, last: _Value, side: int, about: dict[str, str]) -> Any:
        """The model of which a value is the logits."""
        make, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        nodes = [*self.nodes, make.make_node("Identity", [last.name], ["logits"], "logits")]
        images = make.make_tensor_value_info("images", kind, ["batch", side, side, 3])
        logits = make.make_tensor_value_info("logits", kind, ["batch", last.shape[-1], *last.shape[:-1]])
        graph = make.make_graph(nodes, "corolla", [images], [logits], self.constants)
        opsets = [make.make_opsetid("", OPSET)]
        model = make.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="corolla")
        make.set_model_props(model, about)
        self.onnx.checker.check_model(model, full_check=True)
        return model


def model_of(interpreter: Interpreter, about: dict[str, str]) -> Any:
    """The model, if ONNX' own checker finds no fault. about: its metadata.

    Raises RunError for an operation that cannot be written.
    """
    writer, side = _Writer(), interpreter.image_size
    values: dict[int, _Value] = {}
    for number, operation in enumerate(interpreter.operations):
        if operation is not None:
            values[number] = _written(writer, operation, [values[each] for each in operation.inputs], side)
    return writer.finished(values[interpreter.last], side, about)


def _written(writer: _Writer, operation: Operation, inputs: list[_Value], side: int) -> _Value:
    if operation.operation == "input":
        found = _Value(writer.add("Transpose", "images", perm=TO_FIRST), (side, side, 3))
    elif operation.operation in _WRITERS:
        found = _WRITERS[operation.operation](writer, operation, *inputs)
    else:
        raise RunError(f"{operation.operation} cannot be written as ONNX: use --format stablehlo")
    for kind in operation.ends:
        found = _activated(writer, found, kind)
    return found


# Windows ----------------------------------------------------------------------------------------------------------


def _windows(operation: Operation, shape: Shape) -> tuple[dict[str, Any], Shape]:
    """Attributes of windows over a value of a shape; and the sides of what they give, as TensorFlow counts them."""
    size, strides, same = (operation.settings[name] for name in ("size", "strides", "padding"))
    sides = list(zip(shape[:2], size, strides, strict=True))
    if same == "valid":
        missing, found = [0, 0], [(side - window) // step + 1 for side, window, step in sides]
    else:
        found = [-(-side // step) for side, _, step in sides]
        missing = [
            max((out - 1) * step + window - side, 0) for out, (side, window, step) in zip(found, sides, strict=True)
        ]
    pads = [*(each // 2 for each in missing), *(each - each // 2 for each in missing)]
    return {"kernel_shape": size, "strides": strides, "pads": pads}, tuple(found)


def _conv(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    attributes, sides = _windows(operation, x.shape)
    kernel, channels = operation.values["kernel"], x.shape[2]
    if operation.operation == "depthwise":
        kernel = kernel.reshape(*kernel.shape[:2], 1, channels)
        attributes["group"] = channels
    constants = [writer.constant(kernel.transpose(3, 2, 0, 1))]
    if "bias" in operation.values:
        constants.append(writer.constant(np.broadcast_to(operation.values["bias"], kernel.shape[3])))
    return _Value(writer.add("Conv", x.name, *constants, **attributes), (*sides, kernel.shape[3]))


def _pool(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    attributes, sides = _windows(operation, x.shape)
    operator = "MaxPool" if operation.operation == "max_pool" else "AveragePool"
    return _Value(writer.add(operator, x.name, **attributes), (*sides, x.shape[2]))


def _dense(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    """Over the last axis: over images a convolution of one pixel."""
    kernel, outputs = operation.values["kernel"], operation.values["kernel"].shape[1]
    over_images = len(x.shape) == 3
    constants = [writer.constant(kernel.T[:, :, None, None] if over_images else kernel)]
    if "bias" in operation.values:
        constants.append(writer.constant(operation.values["bias"]))
    operator = ("Conv", {"kernel_shape": [1, 1]}) if over_images else ("Gemm", {})
    return _Value(writer.add(operator[0], x.name, *constants, **operator[1]), (*x.shape[:-1], outputs))


# By channel -------------------------------------------------------------------------------------------------------


def _affine(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    scale, shift = (writer.by_channel(operation.values[name], x.shape) for name in ("scale", "shift"))
    return _Value(writer.add("Add", writer.add("Mul", x.name, scale), shift), x.shape)


def _scale(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    return _Value(writer.add("Mul", x.name, writer.by_channel(operation.values["gamma"], x.shape)), x.shape)


def _layer_norm(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    channels, values = x.shape[-1], operation.values
    gamma, beta = values.get("gamma", np.ones(channels)), values.get("beta", np.zeros(channels))
    constants = writer.constant(gamma), writer.constant(beta)

    def normed(name: str) -> str:
        return writer.add("LayerNormalization", name, *constants, axis=-1, epsilon=operation.settings["epsilon"])

    return _Value(_channels_last(writer, x, normed), x.shape)


def _channels_last(writer: _Writer, x: _Value, of: Callable[[str], str]) -> str:
    """Do something for which the channels have to come last."""
    if len(x.shape) == 1:
        return of(x.name)
    return writer.add("Transpose", of(writer.add("Transpose", x.name, perm=TO_LAST)), perm=TO_FIRST)


# Shapes -----------------------------------------------------------------------------------------------------------


def _arithmetic(operator: str) -> Callable[..., _Value]:
    def of(writer: _Writer, _: Operation, first: _Value, *others: _Value) -> _Value:
        name, shape = first.name, first.shape
        for other in others:
            if len(other.shape) != len(shape):
                raise RunError(f"{operator} of {shape} and {other.shape} cannot be written as ONNX")
            name = writer.add(operator, name, other.name)
            shape = tuple(np.broadcast_shapes(shape, other.shape))
        return _Value(name, shape)

    return of


def _concatenate(writer: _Writer, _: Operation, *values: _Value) -> _Value:
    channels = sum(each.shape[-1] for each in values)
    return _Value(writer.add("Concat", *(each.name for each in values), axis=1), (*values[0].shape[:-1], channels))


def _global_average(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    kept = writer.add("GlobalAveragePool", x.name)
    channels = x.shape[-1]
    return _Value(kept, (1, 1, channels)) if operation.settings["keep"] else _reshaped(writer, kept, (channels,))


def _reshape(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    """Numbers keep their order with channels last."""
    shape = tuple(operation.settings["shape"])
    if -1 in shape:
        shape = tuple(int(each) for each in np.empty(x.shape, np.bool_).reshape(shape).shape)
    if len(shape) not in (1, 3):
        raise RunError(f"a value of {len(shape) + 1} axes cannot be written as ONNX: use --format stablehlo")
    name = x.name if len(x.shape) == 1 else writer.add("Transpose", x.name, perm=TO_LAST)
    found = _reshaped(writer, name, shape)
    return found if len(shape) == 1 else _Value(writer.add("Transpose", found.name, perm=TO_FIRST), shape)


def _reshaped(writer: _Writer, name: str, shape: Shape) -> _Value:
    return _Value(writer.add("Reshape", name, writer.constant([0, *shape])), shape)


def _pad(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    before, after = operation.settings["before"], operation.settings["after"]
    pads = writer.constant([0, 0, *before, 0, 0, *after])
    rows, columns = (side + first + last for side, first, last in zip(x.shape, before, after, strict=False))
    return _Value(writer.add("Pad", x.name, pads), (rows, columns, x.shape[2]))


def _crop(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    before, after = operation.settings["before"], operation.settings["after"]
    ends = [side - last for side, last in zip(x.shape, after, strict=False)]
    rows, columns = (end - first for end, first in zip(ends, before, strict=True))
    return _Value(_cut(writer, x, before, ends, [2, 3]), (rows, columns, x.shape[2]))


def _channels(writer: _Writer, operation: Operation, x: _Value) -> _Value:
    first, last, _ = slice(operation.settings["first"], operation.settings["last"]).indices(x.shape[-1])
    return _Value(_cut(writer, x, [first], [last], [1]), (*x.shape[:-1], last - first))


def _cut(writer: _Writer, x: _Value, first: list[int], last: list[int], axes: list[int]) -> str:
    return writer.add("Slice", x.name, *(writer.constant(list(each)) for each in (first, last, axes)))


_WRITERS: dict[str, Callable[..., _Value]] = {
    "affine": _affine,
    "normalise": _affine,
    "conv": _conv,
    "depthwise": _conv,
    "dense": _dense,
    "layer_norm": _layer_norm,
    "scale": _scale,
    "activation": lambda writer, operation, x: _activated(writer, x, operation.settings["kind"]),
    "add": _arithmetic("Add"),
    "multiply": _arithmetic("Mul"),
    "concatenate": _concatenate,
    "max_pool": _pool,
    "average_pool": _pool,
    "global_average": _global_average,
    "pad": _pad,
    "crop": _crop,
    "reshape": _reshape,
    "channels": _channels,
}


# Activations ------------------------------------------------------------------------------------------------------


def _activated(writer: _Writer, x: _Value, kind: str) -> _Value:
    return _Value(_ACTIVATIONS[kind](writer, x.name), x.shape)


def _gelu(writer: _Writer, x: str) -> str:
    """The exact one; an operator of its own came later."""
    error = writer.add("Erf", writer.add("Mul", x, writer.constant(0.5**0.5)))
    half = writer.add("Mul", x, writer.constant(0.5))
    return writer.add("Mul", half, writer.add("Add", error, writer.constant(1.0)))


def _hard_sigmoid(writer: _Writer, x: str) -> str:
    return writer.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


_ACTIVATIONS: dict[str, Callable[[_Writer, str], str]] = {
    "relu": lambda writer, x: writer.add("Relu", x),
    "relu6": lambda writer, x: writer.add("Clip", x, writer.constant(0.0), writer.constant(6.0)),
    "silu": lambda writer, x: writer.add("Mul", x, writer.add("Sigmoid", x)),
    "sigmoid": lambda writer, x: writer.add("Sigmoid", x),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda writer, x: writer.add("Mul", x, _hard_sigmoid(writer, x)),
    "gelu": _gelu,
    "softmax": lambda writer, x: writer.add("Softmax", x, axis=1),
}
