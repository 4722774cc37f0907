"""Parts of trunk graphs, made with ONNX itself (no PyTorch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trunkline.core.errors import MissingExtraError

OPSET = 18
IR_VERSION = 9


def import_onnx(needed_for: str) -> Any:
    """The onnx package, or a `MissingExtraError` that says how to get it."""
    try:
        import onnx
        import onnx.inliner
    except ImportError as error:
        raise MissingExtraError("onnx", "build", needed_for) from error
    return onnx


def pooling_nodes(
    onnx: Any, taps: Sequence[str], *, output: str = "pooled", opset: int = OPSET
) -> tuple[list[Any], list[Any]]:
    """Nodes and constants that pool maps (n, c, h, w) to mean, std and max, side by side."""
    import numpy as np

    make = onnx.helper.make_node
    axes = onnx.numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "pool_axes")
    # 1e-6 under the root, so that a constant map has a finite slope.
    epsilon = onnx.numpy_helper.from_array(np.array(1e-6, dtype=np.float32), "pool_epsilon")

    def reduced(kind: str, source: str, target: str, keep: int) -> Any:
        if opset < 18:  # the axes became an input
            return make(kind, [source], [target], axes=[2, 3], keepdims=keep)
        return make(kind, [source, "pool_axes"], [target], keepdims=keep)

    nodes, parts = [], []
    for tap in taps:
        t = f"{tap}_pool"
        nodes += [
            reduced("ReduceMean", tap, f"{t}_mu", 1),
            make("Flatten", [f"{t}_mu"], [f"{t}_mean"], axis=1),
            make("Sub", [tap, f"{t}_mu"], [f"{t}_centred"]),
            make("Mul", [f"{t}_centred", f"{t}_centred"], [f"{t}_squared"]),
            reduced("ReduceMean", f"{t}_squared", f"{t}_var", 0),
            make("Add", [f"{t}_var", "pool_epsilon"], [f"{t}_var_eps"]),
            make("Sqrt", [f"{t}_var_eps"], [f"{t}_std"]),
            reduced("ReduceMax", tap, f"{t}_max", 0),
        ]
        parts += [f"{t}_mean", f"{t}_std", f"{t}_max"]
    nodes.append(make("Concat", parts, [output], axis=1))
    return nodes, [epsilon] if opset < 18 else [axes, epsilon]


def input_nodes(
    onnx: Any, mean: Sequence[float], scale: Sequence[float], *, output: str
) -> tuple[list[Any], list[Any]]:
    """Nodes from uint8 (n, h, w, 3) `images` to normalised float32 (n, 3, h, w)."""
    import numpy as np

    make = onnx.helper.make_node
    constants = [
        onnx.numpy_helper.from_array(np.array(values, dtype=np.float32).reshape(1, 3, 1, 1), name)
        for name, values in (("input_mean", mean), ("input_scale", scale))
    ]
    nodes = [
        make("Cast", ["images"], ["images_float"], to=onnx.TensorProto.FLOAT),
        make("Transpose", ["images_float"], ["images_chw"], perm=[0, 3, 1, 2]),
        make("Sub", ["images_chw", "input_mean"], ["images_centred"]),
        make("Div", ["images_centred", "input_scale"], [output]),
    ]
    return nodes, constants


def image_input(onnx: Any, size: int) -> Any:
    """The graph's input `images`."""
    return onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", size, size, 3])


def to_bytes(
    onnx: Any,
    nodes: Sequence[Any],
    constants: Sequence[Any],
    size: int,
    outputs: Sequence[str],
    *,
    sparse: Sequence[Any] = (),
    opset: int = OPSET,
    ir_version: int = IR_VERSION,
) -> bytes:
    """A checked model as bytes.

    Raises:
        onnx.checker.ValidationError: When the nodes are no graph.
    """
    shapes = {name: ["n", None] if name == "pooled" else ["n", None, None, None] for name in outputs}
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in outputs]
    graph = onnx.helper.make_graph(
        list(nodes), "trunk", [image_input(onnx, size)], values, list(constants), sparse_initializer=list(sparse)
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="trunkline"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
