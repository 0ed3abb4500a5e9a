"""The form of convolutions that XLA runs fast on a CPU, and models made of it.

Takes: arrays, or a Keras model.
Gives: `depthwise`, `dense` (the convolutions, with their gradients), `clipped` (with what
follows in a chain of layers), `fast_on_cpu` (lets a model use them).

Each convolution carries two forms and the compiler picks one by platform (`lax.platform_dependent`): stock
`lax.conv_general_dilated` everywhere, and on a CPU, where the stock form of a depthwise convolution reaches 0.2 to 0.7
GFLOP/s, sums of shifted products. docs/log.md holds what was tried and measured.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import prod
from typing import Any, NamedTuple, cast

import jax
from jax import lax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from corolla.backend import keras
from corolla.models import depthwise as native

Strides = tuple[int, int]

_IN_CACHE_BYTES = 4 << 20
"""A bigger batch of activations is worked off image by image: at 4 MiB the padded copy and its result stay in L3."""

_NHWC = ("NHWC", "HWIO", "NHWC")


# Shape ------------------------------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """One spatial axis of a convolution: sizes in pixels; before and after are the padding."""

    size: int
    kernel: int
    stride: int
    out: int
    before: int
    after: int


def _axis(size: int, kernel: int, stride: int, padding: str) -> _Axis:
    if padding == "valid":
        return _Axis(size, kernel, stride, (size - kernel) // stride + 1, 0, 0)
    out = -(-size // stride)
    pad = max((out - 1) * stride + kernel - size, 0)
    return _Axis(size, kernel, stride, out, pad // 2, pad - pad // 2)


def _axes(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> tuple[_Axis, _Axis]:
    rows, columns = (_axis(x.shape[1 + i], kernel.shape[i], strides[i], padding) for i in (0, 1))
    return rows, columns


def _pad(x: jax.Array, rows: tuple[int, int], columns: tuple[int, int]) -> jax.Array:
    """Pad (or crop, where negative) with zeros, as float32, and keep the result a value of its own.

    Fused into its nine or more readers, the bounds check of the padding lands in their inner loops.
    """
    edges = ((0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0))
    return lax.optimization_barrier(lax.pad(x.astype(jnp.float32), jnp.float32(0), edges))


def _window(x: jax.Array, start: tuple[int, int], count: tuple[int, int], strides: Strides = (1, 1)) -> jax.Array:
    """Every stride-th row and column from `start`, `count` of them."""
    (top, left), (rows, columns), (down, right) = start, count, strides
    limit = (x.shape[0], top + (rows - 1) * down + 1, left + (columns - 1) * right + 1, x.shape[3])
    return lax.slice(x, (0, top, left, 0), limit, (1, down, right, 1))


def _apart(function: Callable[..., Any], *operands: jax.Array) -> Any:
    """Return function(*operands), computed apart: nothing is fused into it or out of it.

    XLA fuses a sum of products into each of its readers, and then every reader sums again; on a CPU it drops
    optimization barriers before it fuses. A condition it cannot see through stays: every number is one or the other.
    It asks a kernel's first value, because kernels are whole on every device.
    """
    first = operands[1].ravel()[0]
    always = (first <= jnp.inf) | (first != first)
    return lax.cond(always, function, lambda *_: _zeros_like(jax.eval_shape(function, *operands)), *operands)


def _zeros_like(shapes: Any) -> Any:
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)


def is_native(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether C++ takes a depthwise convolution: not where the batch is a symbol of jax.export."""
    return isinstance(x.shape[0], int) and native.ready(kernel.shape)


# Depthwise: forward -----------------------------------------------------------------------------------------------


def _stock_depthwise(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    flat = kernel.reshape(*kernel.shape[:2], 1, -1)
    return lax.conv_general_dilated(
        x, flat, strides, padding.upper(), dimension_numbers=_NHWC, feature_group_count=x.shape[-1]
    )


def _native_depthwise(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    rows, columns = _axes(x, kernel, strides, padding)
    shape = x.shape[0], rows.out, columns.out, x.shape[3]
    return native.depthwise(x, kernel, shape, strides, (rows.before, columns.before))


def _fast_depthwise(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    if is_native(x, kernel):
        return _native_depthwise(x, kernel, strides, padding)
    return _by_group(lambda part: _shifted_sum(part, kernel, strides, padding), x)


def _shifted_sum(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    """Sum over the taps of kernel[tap] * x shifted by tap: one loop, vectorised over the channels."""
    rows, columns = _axes(x, kernel, strides, padding)
    padded = _pad(x, (rows.before, rows.after), (columns.before, columns.after))

    taps = kernel[..., 0].astype(jnp.float32)
    terms = (
        _window(padded, tap, (rows.out, columns.out), strides) * taps[tap]
        for tap in product(range(rows.kernel), range(columns.kernel))
    )
    return sum(terms, start=next(terms)).astype(x.dtype)


# Depthwise: gradients ---------------------------------------------------------------------------------------------


def _phase_taps(axis: _Axis, phase: int) -> list[tuple[int, int]]:
    """(tap, shift) of every tap that touches the input positions phase, phase + stride, ...

    Input position phase + stride * q takes its gradient from output position q + shift, through this tap.
    """
    reach = phase + axis.before
    return [(tap, (reach - tap) // axis.stride) for tap in range(axis.kernel) if (reach - tap) % axis.stride == 0]


def _margins(axis: _Axis) -> tuple[int, int]:
    """Zeros to put before and after the outputs so that every phase finds all its shifts inside."""
    shifts = [shift for phase in range(axis.stride) for _, shift in _phase_taps(axis, phase)]
    last = -(-axis.size // axis.stride) - 1
    return max(0, -min(shifts)), max(0, last + max(shifts) - axis.out + 1)


def _input_gradient(x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides, padding: str) -> jax.Array:
    """The same shifted sums with the taps turned round, one for each phase of the stride, then interleaved.

    Spreading the cotangent with zeros instead would cost stride^2 times the work.
    """
    rows, columns = _axes(x, kernel, strides, padding)
    top, left = _margins(rows), _margins(columns)
    padded = _pad(cotangent, top, left)
    count = (-(-rows.size // rows.stride), -(-columns.size // columns.stride))
    taps = kernel[..., 0].astype(jnp.float32)

    def phase_sum(down: int, right: int) -> jax.Array:
        total = jnp.zeros((x.shape[0], *count, x.shape[3]), jnp.float32)
        for (i, a), (j, b) in product(_phase_taps(rows, down), _phase_taps(columns, right)):
            total = total + _window(padded, (a + top[0], b + left[0]), count) * taps[i, j]
        return total.astype(x.dtype)

    return _interleave([[phase_sum(i, j) for j in range(columns.stride)] for i in range(rows.stride)], rows, columns)


def _interleave(phases: list[list[jax.Array]], rows: _Axis, columns: _Axis) -> jax.Array:
    """Put phase [i][j] at rows i, i + stride, ... and columns j, j + stride, ...: two copies of whole pixels."""
    if len(phases) == len(phases[0]) == 1:
        return phases[0][0]
    barred = lax.optimization_barrier(phases)
    across = [jnp.stack(line, axis=3).reshape(*line[0].shape[:2], -1, line[0].shape[3]) for line in barred]
    whole = jnp.stack(lax.optimization_barrier(across), axis=2)
    whole = whole.reshape(whole.shape[0], -1, *whole.shape[3:])
    return whole[:, : rows.size, : columns.size]


def _run_length(size: int) -> int:
    """Length of the runs a row is cut into for `_kernel_gradient`: at most 14, with as little padding as may be."""
    return min(range(min(size, 14), min(size, 7) - 1, -1), key=lambda run: -size % run)


def _kernel_gradient(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides, padding: str
) -> jax.Array:
    """Sum over images and pixels of (x shifted by tap) * cotangent, for every tap: float32[h, w, c, 1].

    Each row is cut into short runs, and one loop adds up the runs for a whole row of taps (a reduction of several
    values at once). A run is short enough for LLVM to unroll, which leaves a loop over channels to vectorise: 6 to 15
    times faster than a reduction written the plain way.
    """
    rows, columns = _axes(x, kernel, strides, padding)
    run = _run_length(columns.out)
    spare = -columns.out % run
    wide = columns.out + spare
    padded = _pad(x, (rows.before, rows.after), (columns.before, columns.after + spare * columns.stride))
    cotangent = _pad(cotangent, (0, 0), (0, spare)) if spare else cotangent.astype(jnp.float32)
    shape = (x.shape[0], rows.out, wide // run, run, x.shape[3])

    def products(i: int) -> Iterator[jax.Array]:
        for j in range(columns.kernel):
            shifted = _window(padded, (i, j), (rows.out, wide), strides)
            yield shifted.reshape(shape) * cotangent.reshape(shape)

    sums = [total for i in range(rows.kernel) for total in _reduce_together(list(products(i)), axis=3)]
    # One product for all taps: one for each runs no faster, and XLA takes half a second longer over every layer.
    together = _column_sums(jnp.concatenate([each.reshape(-1, x.shape[3]) for each in sums], axis=1))
    return together.reshape(kernel.shape)


def _reduce_together(operands: list[jax.Array], axis: int) -> list[jax.Array]:
    zeros = [jnp.float32(0)] * len(operands)

    def add(left: Any, right: Any) -> Any:
        return [a + b for a, b in zip(left, right, strict=True)]

    return lax.reduce(operands, zeros, add, (axis,))


def _column_sums(x: jax.Array) -> jax.Array:
    """[n, c] -> [1, c]: as a product with ones, which runs at the speed of the memory."""
    return lax.dot(jnp.ones((1, x.shape[0]), x.dtype), x)


def _fast_depthwise_gradients(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides, padding: str
) -> tuple[jax.Array, jax.Array]:
    if is_native(x, kernel):
        before = tuple(axis.before for axis in _axes(x, kernel, strides, padding))
        return native.depthwise_gradients(x, kernel, cotangent, strides, cast(Strides, before))

    def one(x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
        dx = _input_gradient(x, kernel, cotangent, strides, padding)
        return dx, _kernel_gradient(x, kernel, cotangent, strides, padding)

    return _apart(partial(_gradients_by_group, one), x, kernel, cotangent)


def _gradients_by_group(
    one: Callable[..., Any], x: jax.Array, kernel: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradients of x and kernel, group by group of images; the kernel's is summed in float32."""
    group = _group(x)
    if group == x.shape[0]:
        dx, dk = one(x, cotangent)
        return dx, dk.astype(kernel.dtype)

    def step(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        dx, dk = one(*part)
        return total + dk, dx

    parts = split(x, group), split(cotangent, group)
    dk, dx = lax.scan(step, jnp.zeros(kernel.shape, jnp.float32), parts)
    return dx.reshape(x.shape), dk.astype(kernel.dtype)


# Dense ------------------------------------------------------------------------------------------------------------

_ACROSS_ROWS = (((0,), (0,)), ((), ()))
"""dot_general's numbers for [n, c] and [n, f] -> [c, f]."""

_FEW_CHANNELS = 4
"""Up to so many, each is multiplied with all filters at once: lite0's stem takes 250 µs an image instead of 740."""

_TURNED_CHANNELS = 256
"""From so many on, a transposed copy pays: 45 to 93 GFLOP/s a core in ResNet-50; below, it costs up to a third."""


def _stock_dense(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, strides, padding.upper(), dimension_numbers=_NHWC)


def _fast_dense(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    """A 1x1 convolution is a matrix product, one of a photo's few channels a sum; else the stock form is fast."""
    if x.shape[-1] <= _FEW_CHANNELS:
        return _by_group(lambda part: _outer_sum(part, kernel, strides, padding), x)
    if kernel.shape[:2] != (1, 1):
        return _stock_dense(x, kernel, strides, padding)
    return jnp.einsum("bhwc,cf->bhwf", x[:, :: strides[0], :: strides[1]], kernel[0, 0])


def _outer_sum(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    """Sum over taps and channels of kernel[tap, channel] * x shifted by tap: one loop, vectorised over the filters."""
    rows, columns = _axes(x, kernel, strides, padding)
    padded = _pad(x, (rows.before, rows.after), (columns.before, columns.after))
    terms = (
        _window(padded, (i, j), (rows.out, columns.out), strides)[..., c, None] * kernel[i, j, c].astype(jnp.float32)
        for i, j, c in product(*map(range, kernel.shape[:3]))
    )
    return sum(terms, start=next(terms)).astype(x.dtype)


def _fast_dense_gradients(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides, padding: str
) -> tuple[jax.Array, jax.Array]:
    if kernel.shape[:2] == (1, 1):
        return _product_gradients(x, kernel, cotangent, strides)
    settings = {"strides": strides, "padding": padding}
    dx = _dense_input_gradient(x, kernel, cotangent, **settings)
    beside = 4 * prod(cotangent.shape[1:3]) * prod(kernel.shape[:3])
    group = largest_divisor(x.shape[0], _IN_CACHE_BYTES // beside)

    def step(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + _dense_kernel_gradient(*part, kernel, strides, padding), None

    dk, _ = lax.scan(step, jnp.zeros(kernel.shape, jnp.float32), (split(x, group), split(cotangent, group)))
    return dx, dk.astype(kernel.dtype)


def _product_gradients(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides
) -> tuple[jax.Array, jax.Array]:
    seen = x[:, :: strides[0], :: strides[1]]
    if x.shape[-1] < _TURNED_CHANNELS:
        dk = _across_rows(seen, cotangent)
    else:
        dk = _apart(lambda x, _, cotangent: _across_rows(x, cotangent), seen, kernel, cotangent)
    dx = jnp.einsum("bhwf,cf->bhwc", cotangent, kernel[0, 0])
    if strides != (1, 1):
        dx = jnp.zeros_like(x).at[:, :: strides[0], :: strides[1]].set(dx)
    return dx, dk.astype(kernel.dtype)[None, None]


def _across_rows(x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """[..., c] and [..., f] -> float32[c, f], summed over all but the channels.

    Of many channels, x is turned round beforehand: Eigen's product of a transposed matrix rereads it too often.
    """
    x, cotangent = x.reshape(-1, x.shape[-1]), cotangent.reshape(-1, cotangent.shape[-1])
    if x.shape[-1] < _TURNED_CHANNELS:
        return lax.dot_general(x, cotangent, _ACROSS_ROWS, preferred_element_type=jnp.float32)
    return jnp.dot(lax.optimization_barrier(x.T), cotangent, preferred_element_type=jnp.float32)


def _dense_input_gradient(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: Strides, padding: str
) -> jax.Array:
    """A convolution of the spread cotangent with the kernel turned round, its channels swapped beforehand.

    JAX's own gradient asks XLA for the swap, and that convolution runs at a fifth of the speed.
    """
    edges = [
        (axis.kernel - 1 - axis.before, axis.size + axis.before - (axis.out - 1) * axis.stride - 1)
        for axis in _axes(x, kernel, strides, padding)
    ]
    turned = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    return lax.conv_general_dilated(cotangent, turned, (1, 1), edges, lhs_dilation=strides, dimension_numbers=_NHWC)


def _dense_kernel_gradient(
    x: jax.Array, cotangent: jax.Array, kernel: jax.Array, strides: Strides, padding: str
) -> jax.Array:
    """The product of all shifted x, side by side, with the cotangent: float32[h, w, c, f].

    The stock form takes 20 to 60 times as long.
    """
    rows, columns = _axes(x, kernel, strides, padding)
    padded = _pad(x, (rows.before, rows.after), (columns.before, columns.after))
    taps = product(range(rows.kernel), range(columns.kernel))
    shifted = jnp.concatenate([_window(padded, tap, (rows.out, columns.out), strides) for tap in taps], axis=-1)
    return _across_rows(shifted, cotangent.astype(jnp.float32)).reshape(kernel.shape)


# Groups of images -------------------------------------------------------------------------------------------------


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number up to `most`, at least 1."""
    return max(d for d in range(1, max(1, min(number, most)) + 1) if number % d == 0)


def _group(x: jax.Array) -> int:
    """How many images to work on at once, a divisor of the batch."""
    if not isinstance(x.shape[0], int):  # a symbolic batch of jax.export
        return x.shape[0]
    image_bytes = 4 * prod(x.shape[1:])
    return largest_divisor(x.shape[0], max(2, _IN_CACHE_BYTES // image_bytes))


def split(x: jax.Array, group: int) -> jax.Array:
    """[b, ...] -> [b / group, group, ...]."""
    return x.reshape(x.shape[0] // group, group, *x.shape[1:])


def _by_group(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    group = _group(x)
    if group == x.shape[0]:
        return function(x)
    parts = lax.map(function, split(x, group))
    return parts.reshape(x.shape[0], *parts.shape[2:])


# Devices ----------------------------------------------------------------------------------------------------------


def _mesh() -> Any:
    """The mesh that `jax.sharding.use_abstract_mesh` names, or Keras' distribution; None where there is neither."""
    mesh, distribution = jax.sharding.get_abstract_mesh(), keras.distribution.distribution()
    if not mesh.empty or distribution is None:
        return None if mesh.empty else mesh
    return cast(Any, distribution).device_mesh.backend_mesh.abstract_mesh


def _on_each_device(function: Callable[..., Any], *operands: jax.Array, gradients: bool = False) -> Any:
    """Return function(*operands), worked off by every device for its own images.

    Operands are split that hold an image a row, activations float[b, h, w, c]; the second, a kernel, is whole, and so
    are vectors. Left to itself, XLA's partitioner copies whole activations between the devices wherever a batch is cut
    into groups. A convolution's result stays split; of the gradients (dx, dk), dk is summed over the devices.
    """
    mesh, batch = _mesh(), operands[0].shape[0]
    if mesh is None or mesh.size <= 1 or mesh.manual_axes or not isinstance(batch, int) or batch % mesh.size:
        return function(*operands)
    images, whole = PartitionSpec(mesh.axis_names), PartitionSpec()

    def on_one(*operands: jax.Array) -> Any:
        if not gradients:
            return function(*operands)
        dx, dk = function(*operands)
        return dx, lax.psum(dk, mesh.axis_names)

    specs = tuple(images if each.ndim == 4 and place != 1 else whole for place, each in enumerate(operands))
    results = (images, whole) if gradients else images
    return jax.shard_map(on_one, mesh=mesh, check_vma=False, in_specs=specs, out_specs=results)(*operands)


# The convolutions -------------------------------------------------------------------------------------------------


def _two_forms(stock: Any, fast: Any, fast_forward: Any, fast_gradients: Any) -> Any:
    """Make convolution(x, kernel, strides, padding) of its stock form, and of its forms and gradients on a CPU."""

    def choose(on_cpu: Any, elsewhere: Any, strides: Strides, padding: str, *operands: jax.Array) -> Any:
        settings = {"strides": strides, "padding": padding}
        on_cpu = partial(_on_each_device, partial(on_cpu, **settings), gradients=len(operands) == 3)
        return lax.platform_dependent(*operands, cpu=on_cpu, default=partial(elsewhere, **settings))

    @partial(jax.custom_vjp, nondiff_argnums=(2, 3))
    def convolution(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
        return choose(fast, stock, strides, padding, x, kernel)

    def forward(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> Any:
        return choose(fast_forward, stock, strides, padding, x, kernel), (x, kernel)

    def backward(strides: Strides, padding: str, saved: Any, cotangent: jax.Array) -> Any:
        def stock_gradients(x: jax.Array, kernel: jax.Array, cotangent: jax.Array, **settings: Any) -> Any:
            return jax.vjp(partial(stock, **settings), x, kernel)[1](cotangent)

        return choose(fast_gradients, stock_gradients, strides, padding, *saved, cotangent)

    convolution.defvjp(forward, backward)
    return convolution


def _depthwise_apart(x: jax.Array, kernel: jax.Array, strides: Strides, padding: str) -> jax.Array:
    if is_native(x, kernel):
        return _native_depthwise(x, kernel, strides, padding)
    return _apart(partial(_fast_depthwise, strides=strides, padding=padding), x, kernel)


_depthwise = _two_forms(_stock_depthwise, _fast_depthwise, _depthwise_apart, _fast_depthwise_gradients)
_dense = _two_forms(_stock_dense, _fast_dense, _fast_dense, _fast_dense_gradients)


def depthwise(x: jax.Array, kernel: jax.Array, strides: Strides = (1, 1), padding: str = "same") -> jax.Array:
    """Depthwise convolution: x float[b, h, w, c], kernel float[kh, kw, c, 1] -> float[b, h', w', c] of x's dtype.

    strides: down and right. padding: "same" (TensorFlow's: the odd zero goes after) or "valid". Forward-mode
    differentiation is not supported. Equal to `lax.conv_general_dilated` within 1e-5 of the largest value.
    """
    return _depthwise(x, kernel, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def clipped(
    x: jax.Array, kernel: jax.Array, shift: jax.Array, strides: Strides, padding: str, limits: tuple[float, float]
) -> jax.Array:
    """`depthwise` plus shift[c], cut off at both limits, in one pass over the activations: where it `is_native`.

    Gradients are those of the sum where a result lies between the limits, and zero where it was cut off.
    """
    rows, columns = _axes(x, kernel, strides, padding)
    settings = {"strides": strides, "before": (rows.before, columns.before), "limits": limits}

    def one(x: jax.Array, kernel: jax.Array, shift: jax.Array) -> jax.Array:
        return native.depthwise_clipped(x, kernel, shift, (x.shape[0], rows.out, columns.out, x.shape[3]), **settings)

    return _on_each_device(one, x, kernel, shift)


def _clipped_forward(x: jax.Array, kernel: jax.Array, shift: jax.Array, *settings: Any) -> Any:
    y = clipped(x, kernel, shift, *settings)
    return y, (x, kernel, shift, y)


def _clipped_backward(strides: Strides, padding: str, limits: tuple[float, float], saved: Any, cotangent: Any) -> Any:
    x, kernel, shift, y = saved
    cotangent = jnp.where((y > limits[0]) & (y < limits[1]), cotangent, 0)
    gradients = partial(_fast_depthwise_gradients, strides=strides, padding=padding)
    dx, dk = _on_each_device(gradients, x, kernel, cotangent, gradients=True)
    return dx, dk, cotangent.sum((0, 1, 2), dtype=jnp.float32).astype(shift.dtype)


clipped.defvjp(_clipped_forward, _clipped_backward)


def dense(x: jax.Array, kernel: jax.Array, strides: Strides = (1, 1), padding: str = "same") -> jax.Array:
    """Ordinary convolution: x float[b, h, w, c], kernel float[kh, kw, c, f] -> float[b, h', w', f] of x's dtype.

    Arguments and limits as of `depthwise`.
    """
    return _dense(x, kernel, strides, padding)


# Models -----------------------------------------------------------------------------------------------------------


def _finish(layer: Any, y: Any) -> Any:
    """Bias and activation, as the stock layers end."""
    if layer.use_bias:
        y = y + keras.ops.convert_to_tensor(layer.bias)
    return y if layer.activation is None else layer.activation(y)


def _convolve(convolution: Any, layer: Any, inputs: Any, kernel: Any) -> Any:
    """A layer's convolution, with its strides and padding; the kernel is a Keras variable."""
    return convolution(inputs, keras.ops.convert_to_tensor(kernel), tuple(layer.strides), layer.padding)


@keras.saving.register_keras_serializable("corolla")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """The stock layer with `depthwise` as its convolution under the JAX backend."""

    def call(self, inputs: Any) -> Any:
        """As the stock layer: float[b, h, w, c] -> float[b, h', w', c]."""
        if keras.backend.backend() != "jax":
            return super().call(inputs)
        return _finish(self, _convolve(depthwise, self, inputs, self.kernel))


@keras.saving.register_keras_serializable("corolla")
class Conv2D(keras.layers.Conv2D):
    """The stock layer with `dense` as its convolution under the JAX backend; `depthwise` with a group a channel."""

    def call(self, inputs: Any) -> Any:
        """As the stock layer: float[b, h, w, c] -> float[b, h', w', f]."""
        if keras.backend.backend() != "jax":
            return super().call(inputs)
        if self.groups == 1:
            return _finish(self, _convolve(dense, self, inputs, self.kernel))
        kernel = keras.ops.transpose(self.kernel, (0, 1, 3, 2))
        return _finish(self, _convolve(depthwise, self, inputs, kernel))


@keras.saving.register_keras_serializable("corolla")
class SeparableConv2D(keras.layers.SeparableConv2D):
    """The stock layer with `depthwise` and `dense` as its convolutions under the JAX backend."""

    def call(self, inputs: Any) -> Any:
        """As the stock layer: float[b, h, w, c] -> float[b, h', w', f]."""
        if keras.backend.backend() != "jax":
            return super().call(inputs)
        y = _convolve(depthwise, self, inputs, self.depthwise_kernel)
        return _finish(self, dense(y, cast("jax.Array", keras.ops.convert_to_tensor(self.pointwise_kernel))))


def _fast_class(layer: keras.Layer) -> type[keras.Layer] | None:
    """The class that replaces a stock layer, or None where the fast form does not do what the layer does."""
    kind = type(layer)
    if kind not in (keras.layers.DepthwiseConv2D, keras.layers.Conv2D, keras.layers.SeparableConv2D):
        return None
    plain = layer.data_format == "channels_last" and set(layer.dilation_rate) == {1}
    plain = plain and layer.padding in ("same", "valid")
    if kind is keras.layers.Conv2D:
        own_group = layer.groups == layer.filters and layer.kernel.shape[2] == 1  # as ConvNeXt writes it
        return Conv2D if plain and (layer.groups == 1 or own_group) else None
    if not plain or layer.depth_multiplier != 1:
        return None
    return DepthwiseConv2D if kind is keras.layers.DepthwiseConv2D else SeparableConv2D


def fast_on_cpu(model: keras.Model) -> keras.Model:
    """Return a built model whose convolutions, however deep inside its layers, now run fast on a CPU: the same object.

    Only the classes of convolution layers change, to subclasses whose `call` differs: names, weights, their order,
    `trainable` and saved files stay what they are, and on other platforms the model compiles to the same program.
    """
    for layer in model._flatten_layers(include_self=False):
        kind = _fast_class(layer)
        if kind is not None:
            object.__setattr__(layer, "__class__", kind)  # Keras' own __setattr__ would track the class as a part
    return model
