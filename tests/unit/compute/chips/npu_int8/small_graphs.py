"""Small ONNX graphs for the tests of npu-int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 12
node = helper.make_node


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """Random weights, of like variance whatever their number."""
    fan_in = int(np.prod(shape[1:]))
    return (np.random.default_rng([seed, *shape]).normal(0, 1, shape) / np.sqrt(fan_in)).astype(np.float32)


def pictures(count: int = 4, *, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Random pictures, uint8 (count, size, size, 3)."""
    return np.random.default_rng([seed, size]).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def model(
    nodes: Sequence[Any], constants: dict[str, np.ndarray], outputs: Sequence[str], *, size: int = SIZE, opset: int = 18
) -> bytes:
    """A model on `images`; its nodes begin at `x`, the pictures over 128, channels first."""
    front = [
        node("Cast", ["images"], ["images_float"], to=TensorProto.FLOAT),
        node("Transpose", ["images_float"], ["images_chw"], perm=[0, 3, 1, 2]),
        node("Sub", ["images_chw", "front_mean"], ["images_centred"]),
        node("Div", ["images_centred", "front_scale"], ["x"]),
    ]
    constants = {
        "front_mean": np.full((1, 3, 1, 1), 127, np.float32),
        "front_scale": np.full((1, 3, 1, 1), 128, np.float32),
        "axes": np.array([2, 3], np.int64),
        "epsilon": np.array(1e-6, np.float32),
        **constants,
    }
    graph = helper.make_graph(
        [*front, *nodes],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return bytes(made.SerializeToString(deterministic=True))


def statistics(source: str) -> list[Any]:
    """Mean, std and max of a map, side by side as `pooled`."""
    return [
        node("ReduceMean", [source, "axes"], ["mu"], keepdims=1),
        node("Flatten", ["mu"], ["mean"], axis=1),
        node("Sub", [source, "mu"], ["centred"]),
        node("Mul", ["centred", "centred"], ["squared"]),
        node("ReduceMean", ["squared", "axes"], ["variance"], keepdims=0),
        node("Add", ["variance", "epsilon"], ["nudged"]),
        node("Sqrt", ["nudged"], ["std"]),
        node("ReduceMax", [source, "axes"], ["max"], keepdims=0),
        node("Concat", ["mean", "std", "max"], ["pooled"], axis=1),
    ]


def inverted_bottleneck(*, spread: float = 1.0) -> bytes:
    """A stem, an expanding, a depthwise and a projecting convolution with a shortcut, and its pooled features.

    Args:
        spread: Channels of the depthwise convolution differ in magnitude by up to this factor; the projection makes
            up for it.
    """
    magnitudes = np.geomspace(1, 1 / spread, 16, dtype=np.float32)
    depthwise = weights(16, 1, 3, 3, seed=2) * magnitudes[:, None, None, None]
    projection = weights(8, 16, 1, 1, seed=3) * 3 / magnitudes[:, None, None]
    constants = {
        "w0": weights(8, 3, 3, 3), "b0": weights(8, seed=5) / 4, "w1": weights(16, 8, 1, 1, seed=1), "w2": depthwise,
        "w3": projection, "low": np.array(-0.1, np.float32), "high": np.array(0.8, np.float32),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Clip", ["c0", "low", "high"], ["r0"]),
        node("Conv", ["r0", "w1"], ["c1"]),
        node("Clip", ["c1", "low", "high"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4, group=16),
        node("Clip", ["c2", "low", "high"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"]),
        node("Add", ["c3", "r0"], ["sum"]),
        *statistics("sum"),
    ]
    return model(nodes, constants, ["pooled"])


def floats(graph: bytes, images: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """What ONNX's own reference computes."""
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(onnx.load_model_from_string(graph)).run(list(names), {"images": images}))
