"""A model as plain operations on arrays: what it computes, said without any code or library.

Takes: operations in their order, with the names of the weights that they use. Gives: `Graph`, which is written as JSON.

It stands in a run folder beside the weights, and lets them be used without JAX, Keras or compiling (`interpreter`).

Operations, on values float[b, h, w, c] or float[b, c]; `out` has as many channels as the weights say:

    input                                   the images, 0 to 255
    affine        scale, shift              x * scale + shift, by channel
    conv          kernel[, bias]            size, strides: pixels down and right; padding: same (as TensorFlow's), valid
    depthwise     kernel[, bias]            the same; kernel[h, w, c, 1], or [h, w, 1, c] where turned
    dense         kernel[, bias]            over the last axis
    normalise     mean, variance[, gamma, beta]   by channel: (x - mean) / sqrt(variance + epsilon) * gamma + beta
    layer_norm    [gamma, beta]             over the channels; epsilon
    scale         gamma                     x * gamma, by channel
    activation                              kind: relu, relu6, silu, sigmoid, hard_sigmoid, hard_silu, gelu, softmax
    add, multiply, concatenate              several values, of one shape or with sides of 1
    max_pool, average_pool                  size, strides, padding, as of conv; padding counts for neither
    global_average                          over h and w; keep: whether these stay, as 1
    pad, crop                               before, after: zeros around, or what is cut off
    reshape                                 shape, without b
    channels                                first, last: some of them
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from corolla.errors import RunError

VERSION = 1


@dataclass(frozen=True)
class Node:
    """One operation. inputs: numbers of earlier nodes; settings: plain data; weights: a name by what it is for."""

    operation: str
    inputs: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which they can be done; the first is the input, the last gives the output.

    image_size: side of the images [px].
    """

    image_size: int
    nodes: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"version": VERSION, "image_size": self.image_size, "nodes": [asdict(node) for node in self.nodes]}


def from_json(stored: Any, source: str) -> Graph:
    """Read what `to_json` gave. Raises RunError naming the source."""
    try:
        if stored["version"] != VERSION:
            raise RunError(f"{source} was written by another version of Corolla ({stored['version']}, not {VERSION})")
        nodes = tuple(Node(**{**node, "inputs": tuple(node["inputs"])}) for node in stored["nodes"])
        return Graph(int(stored["image_size"]), nodes)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{source} is damaged: {error!r}") from error
