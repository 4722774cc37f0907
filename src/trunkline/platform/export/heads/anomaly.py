"""The anomaly head as a graph: patches against the bank, the strangest fiftieth, threshold and band on the raw score.

The engine keeps dense maps in float16 (`engine.columns.halved`), and so does the graph. A map that two runtimes compute
a hair apart may be rounded to two neighbours there: raw scores agree within a thousandth of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trunkline.algorithms.heads.anomaly import Anomaly
from trunkline.algorithms.heads.patches import STRANGEST, resize
from trunkline.platform.export.heads.base import Outputs

if TYPE_CHECKING:
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.export.graph import Graph

_LARGEST_HALF = float(np.finfo(np.float16).max)
_KERNEL = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16


class AnomalyExport:
    """`heads.anomaly.Anomaly`."""

    def nodes(self, graph: Graph, head: TrainedHead, features: Mapping[str, str], sample: FeatureTable) -> Outputs:
        maps = {tap: sample.dense[tap] for tap in sample.dense if tap in Anomaly.dense}
        finest = sorted(maps, key=lambda tap: -maps[tap].shape[2] * maps[tap].shape[3])[:2]
        _, channels, height, width = maps[finest[0]].shape
        parts = [_smoothed(graph, _halved(graph, features[finest[0]]), channels)]
        for tap in finest[1:]:
            parts.append(_stretched(graph, _halved(graph, features[tap]), maps[tap].shape[2:], (height, width)))
        places = graph.add("Transpose", graph.add("Concat", *parts, axis=1), perm=[0, 2, 3, 1])
        distance = _distance(graph, head, places)
        square = graph.add("Reshape", distance, graph.constant([-1, 1, height, width], "int64"))
        raw = _strangest(graph, _smoothed(graph, square, 1), height * width)
        return _answers(graph, head, raw)

    def margin(self, head: TrainedHead, scores: np.ndarray, anomaly: float | None) -> float:
        limits = np.array([head.config["cut"], *head.config["band"]])
        return float(np.abs(limits - (anomaly or 0.0)).min() / max(1.0, float(np.abs(limits).max())))


def _halved(graph: Graph, maps: str) -> str:
    kept = graph.chain(maps, ("Max", -_LARGEST_HALF), ("Min", _LARGEST_HALF))
    return graph.cast(graph.cast(kept, "FLOAT16"), "FLOAT")


def _smoothed(graph: Graph, maps: str, channels: int) -> str:
    """Each channel over its 3 x 3 neighbours; edges repeat."""
    padded = graph.add("Pad", maps, graph.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64"), mode="edge")
    kernel = graph.constant(np.broadcast_to(_KERNEL, (channels, 1, 3, 3)))
    return graph.add("Conv", padded, kernel, group=channels)


def _stretched(graph: Graph, maps: str, given: tuple[int, ...], wanted: tuple[int, int]) -> str:
    """Coarser maps at the finest tap's size: what the head's own function makes of unit vectors is the matrix."""
    down, across = (
        resize(np.eye(old, dtype=np.float32)[None, None], new, old)[0, 0]
        for old, new in zip(given, wanted, strict=True)
    )
    return graph.add("MatMul", graph.add("MatMul", graph.constant(down), maps), graph.constant(across.T))


def _distance(graph: Graph, head: TrainedHead, places: str) -> str:
    """Distance of each place to the nearest patch of the bank, of shape (n, h, w, 1)."""
    bank = head.weights["bank"].astype(np.float32)
    norms = np.einsum("md,md->m", bank, bank)
    projected = graph.add("MatMul", places, graph.constant(head.weights["projection"]))
    patches = graph.add("Add", projected, graph.constant(head.weights["offset"]))
    product = graph.add("MatMul", patches, graph.constant(-2 * bank.T))
    least = graph.reduced("ReduceMin", graph.add("Add", product, graph.constant(norms)), [3], keep=True)
    own = graph.reduced("ReduceSum", graph.add("Mul", patches, patches), [3], keep=True)
    return graph.add("Sqrt", graph.add("Relu", graph.add("Add", least, own)))


def _strangest(graph: Graph, maps: str, places: int) -> str:
    """Mean of the largest fiftieth of maps (n, 1, h, w), of shape (n,)."""
    count = max(1, round(STRANGEST * places))
    flat = graph.add("Flatten", maps, axis=1)
    names = ("largest", "largest_at")
    graph.nodes.append(
        graph.onnx.helper.make_node("TopK", [flat, graph.constant([count], "int64")], list(names), axis=1)
    )
    return graph.reduced("ReduceMean", names[0], [1], keep=False)


def _answers(graph: Graph, head: TrainedHead, raw: str) -> Outputs:
    """As `Anomaly.predict`: decided on the raw score."""
    slope, offset = head.calibration["slope"], head.calibration["offset"]
    low, high = head.config["band"]
    column = graph.add("Reshape", raw, graph.constant([-1, 1], "int64"))
    stranger = graph.add("Sigmoid", graph.chain(column, ("Mul", slope), ("Add", offset)))
    scores = graph.add("Concat", graph.add("Sub", graph.constant(1.0), stranger), stranger, axis=1)
    good = graph.add("Less", column, graph.constant(head.config["cut"]))
    accepted = graph.add("Concat", good, graph.add("Not", good), axis=1)
    over = graph.add("Not", graph.add("Less", raw, graph.constant(low)))
    unsure = graph.add("And", over, graph.add("Less", raw, graph.constant(high)))
    return Outputs(scores, accepted, unsure, raw)
