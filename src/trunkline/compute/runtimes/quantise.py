"""A float graph made INT8 by NNCF: post-training quantisation on pictures of what it will see."""

from __future__ import annotations

import logging
from contextlib import redirect_stdout
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import INPUT
from trunkline.compute.runtimes.openvino import without_telemetry
from trunkline.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np

RECIPE = "nncf-performance-2"
"""How it is done; changes when the same pictures would give another graph."""
_FIRST = 16
_POOLS = {
    "Concat", "Flatten", "Reshape", "Squeeze", "ReduceMean", "ReduceMax", "GlobalAveragePool", "GlobalMaxPool",
    "Sqrt", "Add", "Clip", "Max", "Mul", "Pow", "Sub",
}  # fmt: skip


def import_nncf() -> Any:
    """NNCF without its telemetry.

    Raises:
        MissingExtraError: When it, or onnx, is not installed.
    """
    plain = logging.getLoggerClass()
    with without_telemetry():
        try:
            import nncf  # type: ignore[import-untyped]
            import onnx  # noqa: F401 (NNCF reads the graph with it)
        except ImportError as error:
            raise MissingExtraError("nncf", "int8", "an INT8 trunk") from error
        finally:
            logging.setLoggerClass(plain)  # it sets one of its own, for everybody, that swallows warnings
    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own function would set those of all handlers
    return nncf


def recipe() -> str:
    """What decides on the graph beside the float graph and the pictures.

    Raises:
        MissingExtraError: When NNCF is not installed.
    """
    try:
        return f"{RECIPE} nncf {metadata.version('nncf')}"
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError("nncf", "int8", "an INT8 trunk") from error


def quantise(model: Path, images: np.ndarray, scratch: Path) -> bytes:
    """An ONNX graph with 8-bit products, as QuantizeLinear and DequantizeLinear pairs that both runtimes read.

    A scale for each channel of weights and for each tensor of activations, both symmetric; biases are corrected (Nagel
    et al. 2019, section 4.2). Weights use half of their range: AVX2 adds two products in 16 bits, which the whole range
    would overflow (cosine of features with float ones 0.977 then, 0.991 so). The first convolutions stay in floats, for
    all that follows reads their error (0.998 so, at the same speed), and so does the pooling: heads read deviations.

    Args:
        model: The float graph.
        images: uint8 of shape (n, side, side, 3) to calibrate on.
        scratch: A folder for a file on the way.

    Raises:
        MissingExtraError: When NNCF is not installed.
        InputError: When NNCF cannot quantise the graph.
    """
    nncf = import_nncf()
    import onnx
    from nncf.quantization import advanced_parameters as advanced  # type: ignore[import-untyped]

    with without_telemetry(), redirect_stdout(StringIO()):  # NNCF draws progress where results go
        try:
            graph = onnx.load_model_from_string(folded(model, scratch))
            quantised = nncf.quantize(
                graph,
                nncf.Dataset([images[at : at + 1] for at in range(len(images))], lambda one: {INPUT: one}),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(images),
                advanced_parameters=advanced.AdvancedQuantizationParameters(overflow_fix=advanced.OverflowFix.ENABLE),
                ignored_scope=nncf.IgnoredScope(names=[*first(graph), *pooling(graph)], validate=False),
            )
        except Exception as error:  # what it raises on a graph that it does not take is its own
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise InputError(f"NNCF cannot quantise the graph: {said}", where=str(model)) from error
    return bytes(quantised.SerializeToString(deterministic=True))


def folded(model: Path, scratch: Path) -> bytes:
    """A graph as ONNX Runtime's own simplification leaves it: constants computed, padding part of its convolution.

    PyTorch's exporter writes paddings as arithmetic on shapes: of 486 nodes of the default trunk 118 are left.
    """
    import onnx

    from trunkline.compute.runtimes.onnxruntime import simplified

    graph = onnx.load_model_from_string(simplified(model, scratch))
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # NNCF and `pooling` know nodes by their names
    return bytes(graph.SerializeToString(deterministic=True))


def first(model: Any) -> list[str]:
    """Names of the first convolutions, one in sixteen of all.

    Args:
        model: An ONNX model whose nodes have names, in the order in which they run.
    """
    found = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return found[: len(found) // _FIRST]


def pooling(model: Any) -> list[str]:
    """Names of the nodes that make `pooled` of the taps: means, deviations and maxima over places, side by side.

    Args:
        model: An ONNX model whose nodes have names.
    """
    made = {output: node for node in model.graph.node for output in node.output}
    names: dict[str, None] = {}
    waiting = ["pooled"]
    while waiting:
        node = made.get(waiting.pop())
        if node is None or node.name in names or node.op_type not in _POOLS:
            continue
        names[node.name] = None
        waiting += [name for name in node.input if not _is_tap(node, made.get(name))]
    return list(names)


def _is_tap(node: Any, source: Any) -> bool:
    """Whether what a node of the pooling takes from `source` is a tap's map, where the pooling begins."""
    if node.op_type == "Sub":  # map less mean
        return source is not None and source.op_type not in ("ReduceMean", "GlobalAveragePool")
    if node.op_type in ("ReduceMean", "ReduceMax", "GlobalAveragePool", "GlobalMaxPool"):  # of the map, or of squares
        return source is None or not (source.op_type == "Pow" or _squares(source))
    return False


def _squares(node: Any) -> bool:
    return node.op_type == "Mul" and len(set(node.input)) == 1
