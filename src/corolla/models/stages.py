"""A model cut into stages, for predicting on a CPU: each works on as many images at once as suits its own sizes.

Takes: a functional Keras model. Gives: `stages`, and `in_stages`, which works a batch off by them.

Early activations are large: an image or two of them stay in the cache. Late ones are small beside the weights, which a
matrix product reads anew for every few images. docs/log.md holds what was measured.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import jax
from jax import lax

from corolla.backend import keras
from corolla.models.chains import call
from corolla.models.lowering import largest_divisor, split

_CACHE_BYTES = 2 << 20
"""The largest activation of a stage, of all its images together, as far as there is a choice."""
_MOST, _UNKNOWN = 16, 2
"""Images at once: never more; and where a layer holds layers of its own, whose activations do not show."""


class Stage(NamedTuple):
    """A part of a model, a function of values [b, ...] in inference, and how many images it takes at once.

    It takes and gives one array, or a list of a feature map and the means of earlier ones that the head will see. Its
    weights are those of the model's variables, as a `keras.StatelessScope` around it says.
    """

    run: Callable[[Any], Any]
    images: int


def stages(model: keras.Model) -> list[Stage]:
    """Cut a model where a single value passes from one layer to a convolution or product; a later stage takes no fewer.

    Vectors may pass beside it: they are small. A model that is not functional is one stage.
    """
    if not hasattr(model, "_nodes_by_depth"):
        return [Stage(lambda images: model(images, training=False), _UNKNOWN)]
    cuts = list(_cuts(model))
    fewest = _MOST
    for place, (tensor, images) in reversed(list(enumerate(cuts))):
        fewest = min(fewest, images)
        cuts[place] = tensor, fewest
    found, begin = [], model.inputs[0]
    for images, alike in groupby(cuts, key=lambda cut: cut[1]):
        end = list(alike)[-1][0]
        end = end[0] if len(end) == 1 else end
        found.append(Stage(partial(call, keras.Function(begin, end)), images))
        begin = end
    return found


def _cuts(model: keras.Model) -> Iterator[tuple[list[Any], int]]:
    """(tensors, images at once) wherever everything so far reaches the rest through one tensor, and vectors.

    The output is the last. Images at once suit all values since the cut before.
    """
    nodes = _in_order(model)
    readers: dict[int, list[int]] = {id(model.outputs[0]): [len(nodes)]}
    for place, node in enumerate(nodes):
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(place)
    values = {id(tensor): tensor for node in nodes for tensor in (*node.input_tensors, *node.outputs)}
    alive, images = {id(model.inputs[0])}, _MOST
    for place, node in enumerate(nodes):
        images = min(images, _at_once(node))
        alive |= {id(tensor) for tensor in node.outputs}
        alive = {each for each in alive if max(readers.get(each, [-1])) > place}
        followed = [nodes[reader] for each in alive for reader in readers[each] if place < reader < len(nodes)]
        large = {each for each in alive if len(values[each].shape) > 2}
        if large <= {id(node.outputs[0])} and (not followed or any(map(_multiplies, followed))):
            yield [values[each] for each in sorted(alive, key=lambda each: each not in large)], images
            images = _MOST


def _in_order(model: keras.Model) -> list[Any]:
    """The nodes of a graph as they can be worked off; means of feature maps come as early as can be.

    Keras has them late, at the depth of the layer that reads them, and the maps would wait for it.
    """
    by_depth: dict[int, list[Any]] = model._nodes_by_depth  # pyright: ignore
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]
    made = {id(tensor): place for place, node in enumerate(nodes) for tensor in node.outputs}

    def place(number: int) -> float:
        node = nodes[number]
        pools = isinstance(node.operation, keras.layers.GlobalAveragePooling2D)
        return made.get(id(node.input_tensors[0]), -1) + 0.5 if pools else number

    return [nodes[number] for number in sorted(range(len(nodes)), key=place)]


def _at_once(node: Any) -> int:
    """As many images, a power of two, as leave what a layer reads and writes in the cache."""
    if isinstance(node.operation, keras.Layer) and any(node.operation._flatten_layers(include_self=False)):
        return _UNKNOWN
    largest = max(4 * prod(size or 1 for size in tensor.shape[1:]) for tensor in (*node.input_tensors, *node.outputs))
    return min(max(1 << (_CACHE_BYTES // largest).bit_length() >> 1, 1), _MOST)


def _multiplies(node: Any) -> bool:
    """Whether a layer begins with a product, into which XLA fuses nothing that stands before it."""
    layer = node.operation
    return hasattr(layer, "kernel") or any(hasattr(part, "kernel") for part in _parts(layer))


def _parts(layer: Any) -> Iterator[Any]:
    return iter(layer._flatten_layers(include_self=False) if isinstance(layer, keras.Layer) else ())


def in_stages(parts: Sequence[Stage], batch: jax.Array) -> Any:
    """Work a batch off stage after stage, each by the largest divisor of its batch up to what it takes at once."""
    *before, (run, images) = parts
    size = largest_divisor(batch.shape[0], images)

    def one(piece: jax.Array) -> Any:
        return run(in_stages(before, piece) if before else piece)

    if size == batch.shape[0]:
        return one(batch)
    done = lax.map(one, split(batch, size))
    return jax.tree.map(lambda each: each.reshape(batch.shape[0], *each.shape[2:]), done)
