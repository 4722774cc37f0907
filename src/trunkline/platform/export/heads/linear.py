"""Linear heads as graphs: contrast taken out, one matrix product, softmax or sigmoid, the head's own limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trunkline.algorithms.heads.classify import Classify
from trunkline.algorithms.heads.multilabel import Multilabel
from trunkline.platform.export.heads.base import Outputs

if TYPE_CHECKING:
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.export.graph import Graph


def logits(graph: Graph, head: TrainedHead, pooled: str) -> str:
    """Logits of shape (n, k); the temperature is folded into the weights."""
    weight, temperature = head.weights["weight"], np.float32(head.calibration["temperature"])
    plain = without_contrast(graph, pooled, head.config["channels"])
    product = graph.add("MatMul", plain, graph.constant(weight / temperature))
    return graph.add("Add", product, graph.constant(head.weights["bias"] / temperature))


def without_contrast(graph: Graph, pooled: str, channels: Sequence[int]) -> str:
    """`heads.linear.without_contrast` as nodes.

    Args:
        graph: Where they are added.
        pooled: Name of a tensor of shape (n, d).
        channels: Channels of each tap; empty: the row is divided by its own length.
    """
    if not channels:
        return graph.add("Div", pooled, _length(graph, pooled))
    parts, start = [], 0
    for count in channels:
        tap = _columns(graph, pooled, start, start + 3 * count)
        spread = _columns(graph, pooled, start + count, start + 2 * count)
        parts.append(graph.add("Div", tap, _length(graph, spread)))
        start += 3 * count
    return graph.add("Concat", *parts, axis=1)


def _columns(graph: Graph, tensor: str, start: int, end: int) -> str:
    return graph.add("Slice", tensor, *(graph.constant([value], "int64") for value in (start, end, 1)))


def _length(graph: Graph, tensor: str) -> str:
    squares = graph.reduced("ReduceSum", graph.add("Mul", tensor, tensor), [1], keep=True)
    return graph.chain(graph.add("Sqrt", squares), ("Max", 1e-6))


class ClassifyExport:
    """`heads.classify.Classify`."""

    def nodes(self, graph: Graph, head: TrainedHead, features: Mapping[str, str], sample: FeatureTable) -> Outputs:
        scores = graph.add("Softmax", logits(graph, head, features["pooled"]), axis=-1)
        best = graph.add("ArgMax", scores, axis=1, keepdims=1)
        limit = graph.add("Gather", graph.constant(Classify.limits(head)[0]), best)
        unsure = graph.add("Less", graph.add("GatherElements", scores, best, axis=1), limit)
        named = graph.add("Equal", best, graph.constant([range(len(head.labels))], "int64"))
        accepted = graph.add("And", named, graph.add("Not", unsure))
        flat = graph.add("Reshape", unsure, graph.constant([-1], "int64"))
        return Outputs(scores, accepted, flat)

    def margin(self, head: TrainedHead, scores: np.ndarray, anomaly: float | None) -> float:
        ranked = np.sort(scores)[::-1]
        gap = float(ranked[0] - ranked[1]) if len(ranked) > 1 else 1.0
        return min(gap, float(abs(ranked[0] - Classify.limits(head)[0][scores.argmax()])))


class MultilabelExport:
    """`heads.multilabel.Multilabel`."""

    def nodes(self, graph: Graph, head: TrainedHead, features: Mapping[str, str], sample: FeatureTable) -> Outputs:
        scores = graph.add("Sigmoid", logits(graph, head, features["pooled"]))
        threshold, low, high = (graph.constant(row[None]) for row in Multilabel.limits(head))
        accepted = graph.add("Not", graph.add("Less", scores, threshold))
        inside = graph.add("And", graph.add("Not", graph.add("Less", scores, low)), graph.add("Less", scores, high))
        count = graph.reduced("ReduceSum", graph.cast(inside, "FLOAT"), [1], keep=False)
        return Outputs(scores, accepted, graph.add("Greater", count, graph.constant(0.5)))

    def margin(self, head: TrainedHead, scores: np.ndarray, anomaly: float | None) -> float:
        return float(np.abs(Multilabel.limits(head) - scores).min())
