"""Graphs that cannot be worked off, and how memory is kept."""

import numpy as np
import pytest

from corolla import graph
from corolla.errors import RunError
from corolla.graph import Graph, Node
from corolla.interpreter import Interpreter

CHAIN = Graph(
    4,
    (Node("input"), Node("dense", (0,), {}, {"kernel": "head/kernel"}), Node("global_average", (1,), {"keep": False})),
)


def test_a_weight_that_is_missing():
    with pytest.raises(RunError, match=r"^RUN: the weight 'head/kernel' is missing: these are the weights of another"):
        Interpreter(CHAIN, {}, "RUN")


def test_an_operation_that_is_not_known():
    with pytest.raises(RunError, match=r"^RUN: the operation attention is not known to this version of Corolla$"):
        Interpreter(Graph(4, (Node("input"), Node("attention", (0,)))), {}, "RUN")


def test_a_graph_that_cannot_be_done():
    """Damaged in a way that its JSON does not show."""
    nodes = (Node("input"), Node("global_average", (0,), {"kept": False}))
    with pytest.raises(RunError, match=r"^RUN: global_average cannot be done \(.*kept.*\): it is damaged$"):
        Interpreter(Graph(4, nodes), {}, "RUN")(np.zeros((1, 4, 4, 3)))


@pytest.mark.parametrize(
    ("stored", "line"),
    [
        ({"version": 2}, r"^F was written by another version of Corolla \(2, not 1\)$"),
        ({"version": 1, "image_size": 4}, r"^F is damaged: KeyError\('nodes'\)$"),
        ({"version": 1, "image_size": 4, "nodes": [{"operation": "input", "wrong": 1}]}, r"^F is damaged: .*inputs"),
        ([], r"^F is damaged"),
        ({"version": 1, "image_size": "four", "nodes": []}, r"^F is damaged"),
    ],
)
def test_a_damaged_file(stored, line):
    with pytest.raises(RunError, match=line):
        graph.from_json(stored, "F")


def test_images_and_weights_are_left_alone():
    """Activations work in place, but never on what was given."""
    nodes = (
        Node("input"),
        Node("activation", (0,), {"kind": "relu6"}),
        Node("affine", (1,), {"scale": [2.0], "shift": [1.0]}),
    )
    images = np.full((1, 4, 4, 3), 9, np.float32)
    assert (Interpreter(Graph(4, nodes), {})(images) == 13).all() and (images == 9).all()
    kernel = np.ones((3, 2), np.float32)
    run = Interpreter(CHAIN, {"head/kernel": kernel})
    assert (run(images) == 27).all() and (run(images) == 27).all() and (kernel == 1).all()


def test_values_are_let_go_when_nobody_reads_them_any_more():
    nodes = [Node("input")] + [Node("scale", (number,), {}, {"gamma": "g"}) for number in range(50)]
    run = Interpreter(Graph(4, tuple(nodes)), {"g": np.ones(3, np.float32)})
    import tracemalloc

    images = np.zeros((1, 200, 200, 3), np.float32)
    tracemalloc.start()
    run(images)
    assert tracemalloc.get_traced_memory()[1] < 4 * images.nbytes
    tracemalloc.stop()
