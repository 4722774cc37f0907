"""A detect head's weights as an ONNX graph: maps of the taps in, logits and distances out. No PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trunkline.algorithms.trunks.graph import IR_VERSION, OPSET, import_onnx

if TYPE_CHECKING:
    from trunkline.algorithms.heads.detect.layout import Layout

LOGITS, DISTANCES = "logits", "distances"
_SPREAD = 1e-6  # under the root of a variance, as in `network`


class Writer:
    """Nodes and constants of a graph, in the order in which they are added.

    Args:
        onnx: The onnx package.
        prefix: Of the names of all tensors that are made here.
    """

    def __init__(self, onnx: Any, prefix: str = "") -> None:
        self.onnx = onnx
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name


def build(layout: Layout, weights: Mapping[str, np.ndarray], taps: Sequence[str], *, depth: int) -> bytes:
    """The graph of a head.

    Args:
        layout: Its levels.
        weights: As `network.folded` gives them.
        taps: Names of the taps, finest first; the graph's inputs, float32 (n, channels, height, width).
        depth: Separable convolutions of each branch.

    Returns:
        ONNX bytes, with the outputs `logits` (n, p, k) and `distances` (n, p, 4) in strides.

    Raises:
        KeyError: When a weight is missing.
        ValueError: When the weights are of shapes that do not go together.
        MissingExtraError: When the package onnx is not installed.
    """
    onnx = import_onnx("a detect head")
    writer = Writer(onnx)
    logits, distances = nodes(writer, layout, weights, taps, depth=depth)
    writer.add("Identity", logits, output=LOGITS)
    writer.add("Identity", distances, output=DISTANCES)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(tap, kind, ["n", channels, layout.side // stride, layout.side // stride])
        for tap, channels, stride in zip(taps, layout.channels, layout.strides, strict=True)
    ]
    outputs = [helper.make_tensor_value_info(name, kind, ["n", "p", None]) for name in (LOGITS, DISTANCES)]
    graph = helper.make_graph(writer.nodes, "detect", inputs, outputs, writer.constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="trunkline"
    )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"these weights make no graph: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def nodes(
    writer: Writer, layout: Layout, weights: Mapping[str, np.ndarray], taps: Sequence[str], *, depth: int
) -> tuple[str, str]:
    """Add a head's nodes to a graph; gives the names of logits and distances."""
    levels = [taps[layout.strides.index(stride)] for stride in layout.levels]
    fine = [
        _unshuffled(writer, taps[tap], layout.finest // layout.strides[tap], layout.channels[tap])
        for tap in layout.folded
    ]
    if fine:
        levels[0] = writer.add("Concat", *fine, levels[0], axis=1)
    whole = _context(writer, taps[-2:], weights)
    pyramid = [
        writer.add("Add", _pointwise(writer, x, weights, f"lateral{place}"), whole) for place, x in enumerate(levels)
    ]
    for place in range(len(pyramid) - 2, -1, -1):
        times = layout.levels[place + 1] // layout.levels[place]
        scales = writer.constant([1.0, 1.0, times, times])
        larger = writer.add(
            "Resize", pyramid[place + 1], "", scales, mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        pyramid[place] = _block(writer, writer.add("Add", pyramid[place], larger), weights, f"down{place}")
    out = {}
    for name in ("scores", "boxes"):
        flat = []
        for place, level in enumerate(pyramid):
            x = level
            for number in range(depth):
                x = _block(writer, x, weights, f"{name}{place}.{number}")
            x = _pointwise(writer, x, weights, f"{name}{place}")
            count = weights[f"{name}{place}.bias"].shape[0]
            x = writer.add("Reshape", x, writer.constant([0, count, -1], "int64"))
            flat.append(writer.add("Transpose", x, perm=[0, 2, 1]))
        out[name] = writer.add("Concat", *flat, axis=1)
    bins = weights["boxes0.bias"].shape[0] // 4
    shares = writer.add("Reshape", out["boxes"], writer.constant([0, -1, 4, bins], "int64"))
    shares = writer.add("Softmax", shares, axis=3)
    return out["scores"], writer.add("MatMul", shares, writer.constant(np.arange(bins, dtype=np.float32)))


def _unshuffled(writer: Writer, tap: str, times: int, channels: int) -> str:
    """A finer map folded: each of its channels becomes times x times, as PyTorch's `pixel_unshuffle` orders them."""
    split = writer.add("SpaceToDepth", tap, blocksize=times)  # places first, then channels
    order = np.arange(channels * times * times).reshape(times * times, channels).T.reshape(-1)
    return writer.add("Gather", split, writer.constant(order, "int64"), axis=1)


def _context(writer: Writer, taps: Sequence[str], weights: Mapping[str, np.ndarray]) -> str:
    axes, parts = writer.constant([2, 3], "int64"), []
    for tap in taps:
        mean = writer.add("ReduceMean", tap, axes, keepdims=1)
        far = writer.add("Sub", tap, mean)
        square = writer.add("ReduceMean", writer.add("Mul", far, far), axes, keepdims=1)
        parts += [mean, writer.add("Sqrt", writer.add("Add", square, writer.constant(_SPREAD)))]
    x = writer.add("Concat", *parts, axis=1)
    x = _silu(writer, _pointwise(writer, x, weights, "context0"))
    return _pointwise(writer, x, weights, "context1")


def _pointwise(writer: Writer, x: str, weights: Mapping[str, np.ndarray], name: str) -> str:
    weight = weights[f"{name}.weight"][:, :, None, None]
    return writer.add("Conv", x, writer.constant(weight), writer.constant(weights[f"{name}.bias"]))


def _block(writer: Writer, x: str, weights: Mapping[str, np.ndarray], name: str) -> str:
    kernel = weights[f"{name}.depthwise"][:, None]
    pad = kernel.shape[-1] // 2
    y = writer.add("Conv", x, writer.constant(kernel), group=len(kernel), pads=[pad] * 4)
    return writer.add("Add", x, _silu(writer, _pointwise(writer, y, weights, name)))


def _silu(writer: Writer, x: str) -> str:
    return writer.add("Mul", x, writer.add("Sigmoid", x))
