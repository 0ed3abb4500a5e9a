"""Which layers of a model learn.

Takes: a classifier or backbone of `registry`. Gives: `blocks` (its layers in groups, input to output) and `freeze`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from corolla.backend import keras
from corolla.errors import WishError

HEAD = "head"
_NUMBERED = re.compile(r"^([a-z_]*?(?:block|stage|conv|mixed|stem|cell)_?\d+[a-z]?(?:_block_?\d+)?)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that are frozen together."""

    name: str
    layers: tuple[keras.Layer, ...]


def _group(layer_name: str) -> str | None:
    """Name the block a layer belongs to, or None where its name tells nothing."""
    found = _NUMBERED.match(layer_name)
    return found.group(1) if found else None


def blocks(model: keras.Model) -> list[Block]:
    """Return the blocks of a model in order from the input; the head and layers without weights belong to none.

    A block is what the layers' names call one (block2a, conv3_block1, ...); layers between two of them form their own.
    """
    grouped: list[tuple[str, list[keras.Layer]]] = []
    for layer in model.layers:
        if layer.name == HEAD or not layer.weights:
            continue
        name = _group(layer.name) or layer.name.split("_")[0]
        if grouped and grouped[-1][0] == name:
            grouped[-1][1].append(layer)
        else:
            grouped.append((name, [layer]))
    return [Block(name, tuple(members)) for name, members in grouped]


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
            fixed_norm = isinstance(layer, keras.layers.BatchNormalization) and batch_norm == "frozen"
            layer.trainable = learns and not fixed_norm


def _count(wish: int | str, known: int, model: str) -> int:
    if wish == "all":
        return known
    if not isinstance(wish, int) or not 0 <= wish <= known:
        raise WishError(f"blocks_trained must be 'all' or 0 to {known} for {model}, not {wish!r}.")
    return wish
