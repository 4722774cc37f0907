"""Where things are: an anchor-free head on a trunk's maps, with calibrated scores.

A network (`network`) is fitted to most of the training pictures; the rest, which it never sees, calibrate it. A box's
score is the probability that it lies on a thing of its label, with an overlap (IoU) of at least one half. A thing is
accepted when its score is at or over its label's threshold, which comes from the operating point, on the held-out
pictures:

- `recall` r: at least r of the things are found; `false_reject_rate` r is `recall` 1 - r.
- `precision` p: of the boxes that are accepted, at least p lie on a thing; `false_accept_rate` r is `precision` 1 - r.
- none: the best F1.

A picture is `unsure` when a box that is not accepted lies just under its threshold, in a band that a tenth of the held-
out pictures fall into. The head runs as a small ONNX graph (`graph`); PyTorch is needed to fit it alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trunkline.algorithms.heads.base import FitJob, Fitted, Scores, Things
from trunkline.algorithms.heads.detect.boxes import Suppression, decoded, suppressed
from trunkline.algorithms.heads.detect.layout import Layout
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead

if TYPE_CHECKING:
    from trunkline.compute.runtimes.small import SmallGraph

_TOGETHER = 16  # pictures whose maps are in memory at once
_TAPS = ("tap0", "tap1", "tap2")


class Detect:
    """Boxes by a small network on three taps."""

    task = "detect"
    dense: tuple[str, ...] = _TAPS

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        """Fit each job by itself.

        Raises:
            DataError: When a job has no boxes to learn from.
            MissingExtraError: When PyTorch is not installed.
        """
        from trunkline.algorithms.heads.detect.fitting import fit_detect

        return [fit_detect(self, job) for job in jobs]

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        """Things in n pictures; the image's own answers are those of its best things."""
        things = [self._things(head, *raw) for raw in self.raw(head, table)]
        return _scores(head, things)

    def raw(self, head: TrainedHead, table: FeatureTable) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Boxes and uncalibrated scores of all points of each picture, shapes (p, 4) and (p, k)."""
        layout, graph = _layout(head), _graph(head)
        centres, strides = layout.points()
        out = []
        for start in range(0, len(table.images), _TOGETHER):
            rows = range(start, min(start + _TOGETHER, len(table.images)))
            maps = {tap: np.asarray(table.dense[tap][rows.start : rows.stop], np.float32) for tap in _TAPS}
            answers = graph.run(maps)
            boxes = decoded(answers["distances"], centres, strides, layout.side)
            logits = np.clip(answers["logits"], -30.0, 30.0)
            out += list(zip(boxes, 1 / (1 + np.exp(-logits)), strict=True))
        return out

    @staticmethod
    def _things(head: TrainedHead, boxes: np.ndarray, scores: np.ndarray) -> Things:
        found, labels, raw = suppressed(boxes, scores, Suppression(**head.config["suppression"]))
        slope, offset = head.calibration["slope"], head.calibration["offset"]
        p = calibrated(raw, slope, offset)
        limits = np.array([head.thresholds[label] for label in head.labels])
        return Things(found, labels, p, p >= limits[labels])

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        """Score of a label at the points of the finest level, less its threshold."""
        layout, column = _layout(head), head.labels.index(label)
        side = layout.side // layout.finest
        slope, offset = head.calibration["slope"], head.calibration["offset"]
        maps = [
            calibrated(scores[: side * side, column], slope, offset).reshape(side, side)
            for _, scores in self.raw(head, table)
        ]
        return np.asarray(np.stack(maps) - head.thresholds[label], np.float32)


def calibrated(raw: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Probabilities from a network's scores: a logistic of their logits."""
    clipped = np.clip(raw, 1e-9, 1 - 1e-9)
    logits = np.log(clipped / (1 - clipped))
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * logits + offset, -60, 60))), np.float64)


def _scores(head: TrainedHead, things: Sequence[Things]) -> Scores:
    """The answers of n pictures."""
    shape = (len(things), len(head.labels))
    best, accepted, unsure = np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(len(things), bool)
    for row, found in enumerate(things):
        np.maximum.at(best[row], found.labels, found.scores.astype(np.float32))
        np.logical_or.at(accepted[row], found.labels, found.accepted)
        for label, score, taken in zip(found.labels, found.scores, found.accepted, strict=True):
            low, high = head.unsure[head.labels[label]]
            unsure[row] |= bool(not taken and low <= score < high)
    return Scores(best, accepted, unsure, things=tuple(things))


def _layout(head: TrainedHead) -> Layout:
    return Layout.from_json(head.config["layout"])


_GRAPHS: dict[int, tuple[weakref.ref[TrainedHead], SmallGraph]] = {}
"""The graph of each head that is in use."""


def _graph(head: TrainedHead) -> SmallGraph:
    from trunkline.algorithms.heads.detect.graph import build
    from trunkline.compute.runtimes.small import SmallGraph

    known = _GRAPHS.get(id(head))
    if known is not None and known[0]() is head:
        return known[1]
    weights: Mapping[str, Any] = {name: np.asarray(array, np.float32) for name, array in head.weights.items()}
    graph = SmallGraph(build(_layout(head), weights, _TAPS, depth=int(head.config["depth"])))
    number = id(head)
    _GRAPHS[number] = (weakref.ref(head, lambda _: _GRAPHS.pop(number, None)), graph)
    return graph
