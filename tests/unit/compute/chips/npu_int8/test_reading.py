"""ONNX graphs as layers, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.unit.compute.chips.npu_int8.small_graphs import (
    floats,
    inverted_bottleneck,
    model,
    node,
    pictures,
    statistics,
    weights,
)
from trunkline.compute.chips.npu_int8.floats import forward
from trunkline.compute.chips.npu_int8.layers import Geometry
from trunkline.compute.chips.npu_int8.reading import read_graph
from trunkline.core.errors import InputError


def _output(graph: bytes, name: str, images: np.ndarray) -> np.ndarray:
    layers, _ = read_graph(graph, where="small")
    return {layer.output: values for layer, values in forward(layers, images)}[name]


def test_layers_compute_what_the_graph_does() -> None:
    graph, images = inverted_bottleneck(), pictures()
    (expected,) = floats(graph, images, ["pooled"])
    assert np.allclose(_output(graph, "pooled", images), expected, rtol=1e-4, atol=1e-4)


def test_bounds_and_batch_normalisation_go_into_the_convolution() -> None:
    constants = {
        "w": weights(4, 3, 3, 3), "b": weights(4), "gain": np.array([1, -2, 0.5, 3], np.float32),
        "offset": weights(4, seed=1), "mu": weights(4, seed=2), "variance": np.array([1, 2, 0.1, 4], np.float32),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        node("BatchNormalization", ["c", "gain", "offset", "mu", "variance"], ["n"], epsilon=1e-3),
        node("Relu", ["n"], ["y"]),
    ]
    graph = model(nodes, constants, ["y"])
    layers, outputs = read_graph(graph, where="small")
    assert [(layer.kind, layer.output, layer.low, layer.high) for layer in layers[1:]] == [("conv", "y", 0.0, np.inf)]
    assert outputs == ["y"]
    (expected,) = floats(graph, pictures(), ["y"])
    assert np.allclose(_output(graph, "y", pictures()), expected.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_zeros_around_come_from_a_pad_that_the_exporter_left_as_a_sum() -> None:
    constants = {"w": weights(4, 3, 3, 3), "first": np.array([0, 0, 0, 1], np.int64), "then": np.array([0, 0, 1, 0])}
    nodes = [
        node("Concat", ["first", "then"], ["pads"], axis=0),
        node("Pad", ["x", "pads"], ["padded"]),
        node("Conv", ["padded", "w"], ["y"], pads=[1, 0, 0, 0]),
    ]
    layers, _ = read_graph(model(nodes, constants, ["y"]), where="small")
    assert layers[-1].geometry == Geometry(pads=(1, 1, 1, 0))


def test_bounds_of_a_map_that_others_read_stay_a_step_of_their_own() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Add", ["c", "r"], ["y"]),
    ]
    layers, _ = read_graph(model(nodes, {"w": weights(4, 3, 1, 1)}, ["y"]), where="small")
    assert [(layer.kind, layer.inputs) for layer in layers[1:]] == [
        ("conv", ("x",)),
        ("clip", ("c",)),
        ("add", ("c", "r")),
    ]


def test_what_no_output_needs_is_left_out() -> None:
    layers, _ = read_graph(inverted_bottleneck(), where="small", outputs=["pooled"])
    more = model([node("Conv", ["x", "w"], ["c"]), *statistics("c")], {"w": weights(4, 3, 1, 1)}, ["max"])
    spare, _ = read_graph(more, where="small")
    assert [layer.kind for layer in layers][-4:] == ["mean", "std", "max", "concat"]
    assert [layer.kind for layer in spare] == ["image", "conv", "max"]


CONV = node("Conv", ["x", "w"], ["c"], name="first")
W = {"w": weights(4, 3, 3, 3), "m": weights(4, 4)}


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([CONV, node("Sigmoid", ["c"], ["y"], name="gate")], "node 'gate' (Sigmoid): npu-int8 has no operator Sigmoid"),
        ([CONV, node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2])], "node 'y' (MaxPool): npu-int8 has no operator"),
        ([CONV, node("Mul", ["c", "c"], ["y"])], "npu-int8 has no Mul of its own"),
        ([CONV, node("Concat", ["c", "c"], ["y"], axis=1)], "npu-int8 joins no maps"),
        ([CONV, node("MatMul", ["c", "m"], ["y"])], "npu-int8 has none of maps"),
        ([CONV, node("ReduceMean", ["c", "one"], ["y"])], "expected a mean over all positions of a map"),
        ([node("Conv", ["x", "x"], ["y"])], "expected a constant as input 1"),
        ([node("Conv", ["x", "w"], ["y"], group=3)], "expected weights, strides and groups that fit"),
        ([node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER")], "with its pads in numbers"),
        ([node("Conv", ["x", "nan"], ["y"])], "expected finite weights"),
        ([CONV, node("Sqrt", ["c"], ["y"])], "expected the root of a map's variance"),
        ([node("Identity", ["x"], ["z"]), node("Identity", ["z"], ["y"])], "expected an output"),
        ([node("ConstantOfShape", ["huge"], ["y"])], "expected a constant of at most"),
    ],
)
def test_refusals_name_operator_and_node(nodes: list[Any], said: str) -> None:
    more = {"one": np.array([1]), "nan": np.full((4, 3, 1, 1), np.nan, np.float32), "huge": np.array([2**20, 2**20])}
    with pytest.raises(InputError) as caught:
        read_graph(model(nodes, {**W, **more}, ["y"]), where="small")
    assert said in str(caught.value)
    assert str(caught.value).startswith("small")


def test_weights_in_other_files_are_refused() -> None:
    parsed = onnx.load_model_from_string(model([CONV], W, ["c"]))
    tensor = next(t for t in parsed.graph.initializer if t.name == "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    with pytest.raises(InputError):
        read_graph(parsed.SerializeToString(), where="small")


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x09" * 50])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="small"):
        read_graph(data, where="small")


def test_pixels_are_normalised_as_the_graph_does_by_channel() -> None:
    constants = {
        "w": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "mu": np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1),
        "by": np.array(2, np.float32),
    }  # fmt: skip
    nodes = [
        node("Sub", ["x", "mu"], ["a"]), node("Mul", ["a", "by"], ["b"]), node("Add", ["b", "by"], ["d"]),
        node("Conv", ["d", "w"], ["y"]),
    ]  # fmt: skip
    graph, images = model(nodes, constants, ["y"]), pictures()
    (expected,) = floats(graph, images, ["y"])
    assert np.allclose(_output(graph, "y", images), expected.transpose(0, 2, 3, 1), atol=1e-6)


def test_two_inputs_are_refused() -> None:
    parsed = onnx.load_model_from_string(model([CONV], W, ["c"]))
    parsed.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["n"]))
    with pytest.raises(InputError, match="expected one input of pictures"):
        read_graph(parsed.SerializeToString(), where="small")
