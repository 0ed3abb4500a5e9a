"""Plain operations as ONNX: ONNX Runtime computes what NumPy does, for a batch of any size."""

import numpy as np
import pytest

from corolla.errors import RunError
from corolla.export.onnx_graph import model_of
from corolla.graph import Graph, Node
from corolla.interpreter import Interpreter

SIDE = 7
needs_onnx = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install corolla[onnx])")


def windows(size=(3, 3), strides=(1, 1), padding="same", **more):
    return {"size": list(size), "strides": list(strides), "padding": padding, **more}


def arrays(**shapes):
    random = np.random.default_rng(0)
    return {name: random.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


def answers(graph, weights):
    """What NumPy and ONNX Runtime say of one image, and of three."""
    run = Interpreter(graph, weights)
    for batch in (1, 3):
        images = np.random.default_rng(batch).uniform(-3, 3, (batch, SIDE, SIDE, 3)).astype(np.float32)
        wanted = run(images)
        stored = model_of(run, {}).SerializeToString()
        session = needs_onnx.InferenceSession(stored, providers=["CPUExecutionProvider"])
        yield wanted, session.run(["logits"], {"images": images})[0]


def assert_same(nodes, weights):
    for wanted, found in answers(Graph(SIDE, (Node("input"), *nodes)), weights):
        found = found if found.ndim == 2 else found.transpose(0, 2, 3, 1)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


KERNEL = {"kernel": "k", "bias": "b"}
NORM = {"mean": "m", "variance": "v", "gamma": "g", "beta": "b"}


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (5, 2)])
def test_windows(size, strides, padding):
    how = windows(size, strides, padding)
    assert_same([Node("conv", (0,), how, KERNEL)], arrays(k=(*size, 3, 4), b=4))
    assert_same([Node("conv", (0,), how, {"kernel": "k"})], arrays(k=(*size, 3, 4)))
    assert_same([Node("depthwise", (0,), how, KERNEL)], arrays(k=(*size, 3, 1), b=3))
    assert_same([Node("depthwise", (0,), {**how, "turned": True}, KERNEL)], arrays(k=(*size, 1, 3), b=3))
    for pool in ("max_pool", "average_pool"):
        assert_same([Node(pool, (0,), how)], {})


def test_what_follows_a_convolution_is_folded_into_it():
    weights = {**arrays(k=(3, 3, 3, 1), m=3, v=3, g=3, b=3)}
    nodes = [
        Node("depthwise", (0,), windows(), {"kernel": "k"}),
        Node("affine", (1,), {"scale": [0.5], "shift": [1.0]}),
        Node("normalise", (2,), {"epsilon": 1e-3}, NORM),
        Node("activation", (3,), {"kind": "relu6"}),
    ]
    assert_same(nodes, weights)
    made = model_of(Interpreter(Graph(SIDE, (Node("input"), *nodes)), weights), {})
    assert [node.op_type for node in made.graph.node] == ["Transpose", "Conv", "Clip", "Identity"]


@pytest.mark.parametrize(
    "node",
    [
        Node("affine", (0,), {"scale": [2.0], "shift": [1.0]}),
        Node("affine", (0,), {"scale": [0.1, 0.2, 0.3], "shift": [1.0, 2.0, 3.0]}),
        Node("normalise", (0,), {"epsilon": 1e-2}, NORM),
        Node("normalise", (0,), {"epsilon": 1e-2}, {"mean": "m", "variance": "v"}),
        Node("layer_norm", (0,), {"epsilon": 1e-3}, {"gamma": "g", "beta": "b"}),
        Node("layer_norm", (0,), {"epsilon": 1e-3}),
        Node("scale", (0,), {}, {"gamma": "g"}),
        Node("dense", (0,), {}, {"kernel": "d"}),
        Node("dense", (0,), {}, {"kernel": "d", "bias": "e"}),
        Node("global_average", (0,), {"keep": True}),
        Node("global_average", (0,), {"keep": False}),
        Node("pad", (0,), {"before": [1, 0], "after": [2, 3]}),
        Node("crop", (0,), {"before": [1, 0], "after": [2, 3]}),
        Node("reshape", (0,), {"shape": [21, 7, 1]}),
        Node("reshape", (0,), {"shape": [147]}),
        Node("reshape", (0,), {"shape": [1, 1, -1]}),
        Node("channels", (0,), {"first": 1, "last": None}),
        Node("channels", (0,), {"first": 0, "last": 2}),
        *(
            Node("activation", (0,), {"kind": kind})
            for kind in ["relu", "relu6", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "gelu", "softmax"]
        ),
    ],
    ids=lambda node: f"{node.operation} {node.settings}",
)
def test_operations_on_images_and_on_rows(node):
    weights = arrays(m=3, v=3, g=3, b=3, d=(3, 5), e=5)
    assert_same([node], weights)
    if node.operation not in ("global_average", "pad", "crop", "reshape"):
        row = Node("global_average", (0,), {"keep": False})
        assert_same([row, Node(node.operation, (1,), node.settings, node.weights)], weights)
    if node.operation == "reshape" and node.settings["shape"] == [147]:
        assert_same([node, Node("reshape", (1,), {"shape": [7, 7, 3]})], weights)


@pytest.mark.parametrize("operation", ["add", "multiply", "concatenate"])
def test_several_values(operation):
    nodes = [Node("scale", (0,), {}, {"gamma": "g"}), Node(operation, (0, 1, 1))]
    assert_same(nodes, arrays(g=3))
    if operation != "concatenate":
        kept = Node("global_average", (0,), {"keep": True})
        assert_same([kept, Node(operation, (0, 1))], {})
        assert_same([kept, Node(operation, (1, 0))], {})


def test_the_file_is_for_old_runtimes():
    made = model_of(Interpreter(Graph(SIDE, (Node("input"),)), {}), {"labels": "[]"})
    assert made.ir_version == 8 and [each.version for each in made.opset_import] == [17]
    assert {each.key: each.value for each in made.metadata_props} == {"labels": "[]"}


def test_what_cannot_be_written():
    three = Graph(SIDE, (Node("input"), Node("reshape", (0,), {"shape": [49, 3]})))
    with pytest.raises(RunError, match=r"^a value of 3 axes cannot be written as ONNX: use --format stablehlo$"):
        model_of(Interpreter(three, {}), {})
    nodes = (Node("input"), Node("global_average", (0,), {"keep": False}), Node("add", (0, 1)))
    with pytest.raises(RunError, match=r"^Add of \(7, 7, 3\) and \(3,\) cannot be written as ONNX$"):
        model_of(Interpreter(Graph(SIDE, nodes), {}), {})
