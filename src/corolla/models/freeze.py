"""Which layers of a model learn.

Takes: a classifier or backbone of `registry`. Gives: `blocks` (its layers in groups, input to output) and `freeze`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from corolla.backend import keras
from corolla.errors import WishError

HEAD = "head"
_NUMBERED = re.compile(r"^([a-z_]*?(?:block|stage|conv|mixed|stem|cell|layers)_?\d+[a-z]?(?:_block_?\d+)?)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that are frozen together."""

    name: str
    layers: tuple[keras.Layer, ...]


def group(layer_name: str) -> str | None:
    """Name the block a layer belongs to, or None where its name tells nothing."""
    found = _NUMBERED.match(layer_name)
    return found.group(1) if found else None


def blocks(model: keras.Model) -> list[Block]:
    """Return the blocks of a model in order from the input; the head and layers without weights belong to none.

    A block is what the layers' names call one (block2a, conv3_block1, ...); layers between two of them form their own.
    A model inside the model, and a layer made of numbered blocks, as the encoders of KerasHub are, count as theirs.
    """
    grouped: list[tuple[str, list[keras.Layer]]] = []
    for layer in _opened(model):
        if layer.name == HEAD and layer in model.layers:
            continue
        name = group(layer.name) or layer.name.split("_")[0]
        if grouped and grouped[-1][0] == name:
            grouped[-1][1].append(layer)
        else:
            grouped.append((name, [layer]))
    return [Block(name, tuple(members)) for name, members in grouped]


def _opened(model: keras.Layer) -> Iterator[keras.Layer]:
    """The layers with weights, those that are made of blocks replaced by what they are made of."""
    for layer in _parts(model):
        if isinstance(layer, keras.Model) or _made_of_blocks(layer):
            yield from _opened(layer)
        elif layer.weights:
            yield layer


def _parts(layer: keras.Layer) -> list[keras.Layer]:
    """The layers directly inside: of a model in the order of its graph."""
    if isinstance(layer, keras.Model):
        return layer.layers
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _made_of_blocks(layer: keras.Layer) -> bool:
    """Whether all weights of a layer lie in parts of it, several of them numbered blocks."""
    parts = _parts(layer)
    numbered = {group(part.name) for part in parts if part.weights} - {None}
    return len(numbered) > 1 and len(layer.weights) == sum(len(part.weights) for part in parts)


def freeze(model: keras.Model, blocks_trained: int | Literal["all"], batch_norm: Literal["frozen", "batch"]) -> None:
    """Set which layers learn: the last `blocks_trained` blocks (0: none, "all": every one), and always the head.

    batch_norm: "frozen" normalises with the stored statistics everywhere and learns none of their scales; "batch"
    normalises trained blocks with the batch's own, and updates the stored ones. Frozen blocks always use stored ones.
    Raises WishError for a number of blocks the model does not have and for an unknown batch_norm.
    """
    ordered = blocks(model)
    count = _count(blocks_trained, len(ordered), model.name)
    if batch_norm not in ("frozen", "batch"):
        raise WishError(f"batch_norm must be 'frozen' or 'batch', not {batch_norm!r}.")
    for position, block in enumerate(ordered):
        learns = position >= len(ordered) - count
        for layer in block.layers:
            layer.trainable = learns
            for part in layer._flatten_layers():
                if isinstance(part, keras.layers.BatchNormalization) and batch_norm == "frozen":
                    part.trainable = False


def _count(wish: int | str, known: int, model: str) -> int:
    if wish == "all":
        return known
    if not isinstance(wish, int) or not 0 <= wish <= known:
        raise WishError(f"blocks_trained must be 'all' or 0 to {known} for {model}, not {wish!r}.")
    return wish
