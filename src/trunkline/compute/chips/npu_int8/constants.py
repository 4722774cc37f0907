"""What an ONNX graph computes from constants alone: paddings and axes that an exporter left as little sums."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np

_FOLDED = ("Cast", "Concat", "ConstantOfShape", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose",
           "Unsqueeze")  # fmt: skip
_MOST = 1 << 20  # elements that ConstantOfShape may make: a graph from outside must not fill the memory


def import_onnx() -> Any:
    """The onnx package, or a `MissingExtraError` that says how to get it."""
    try:
        import onnx
        import onnx.reference
    except ImportError as error:
        raise MissingExtraError("onnx", "build", "compiling for npu-int8") from error
    return onnx


def parse(model: bytes, where: str) -> Any:
    """An ONNX model whose weights are all within.

    Raises:
        InputError: When the bytes are no ONNX model, or it refers to files.
    """
    onnx = import_onnx()
    try:
        parsed = onnx.load_model_from_string(model)
        onnx.checker.check_model(parsed)
    except Exception as error:  # protobuf's and the checker's own types
        raise InputError(f"expected an ONNX model: {str(error)[:300]}", where=where) from error
    outside = [t.name for t in parsed.graph.initializer if onnx.external_data_helper.uses_external_data(t)]
    if outside:
        raise InputError(
            f"expected weights within the file, {outside[0]!r} lies in another",
            where=where,
            fix="save the model as one file: onnx.save(onnx.load(FILE), FILE)",
        )
    return parsed


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    onnx = import_onnx()
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def folded(model: Any, where: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Constants by name, and the nodes that are left.

    Raises:
        InputError: When a constant would be very large, or cannot be computed.
    """
    onnx = import_onnx()
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    left = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            known[node.output[0]] = _value(onnx, node, where)
        elif node.op_type in _FOLDED and all(name in known for name in node.input if name):
            known[node.output[0]] = _evaluated(onnx, model, node, known, where)
        else:
            left.append(node)
    return known, left


def _value(onnx: Any, node: Any, where: str) -> np.ndarray:
    import numpy as np

    given = attributes(node)
    if "value" in given:
        return np.asarray(onnx.numpy_helper.to_array(given["value"]))
    for name, dtype in (("value_float", "float32"), ("value_floats", "float32"), ("value_int", "int64"),
                        ("value_ints", "int64")):  # fmt: skip
        if name in given:
            return np.array(given[name], dtype)
    raise InputError(
        f"expected a constant of numbers, got {sorted(given)}", where=f"{where}: node {node.name or node.output[0]!r}"
    )


def _evaluated(onnx: Any, model: Any, node: Any, known: dict[str, np.ndarray], where: str) -> np.ndarray:
    import numpy as np

    place = f"{where}: node {node.name or node.output[0]!r} ({node.op_type})"
    values = {name: known[name] for name in node.input if name}
    if node.op_type == "ConstantOfShape":
        shape = [int(size) for size in next(iter(values.values())).ravel()]
        if min(shape, default=0) < 0 or math.prod(shape) > _MOST:
            raise InputError(f"expected a constant of at most {_MOST} elements, got the shape {shape}", where=place)
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
              for n, v in values.items()]  # fmt: skip
    output = helper.make_empty_tensor_value_info(node.output[0])
    graph = helper.make_graph([node], "constant", inputs, [output])
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        return np.asarray(onnx.reference.ReferenceEvaluator(single).run(None, values)[0])
    except Exception as error:  # whatever its operators raise on constants that do not fit
        raise InputError(f"cannot compute a constant: {type(error).__name__}: {error}", where=place) from error
