"""Boxes against the truth: COCO's average precision, and recall and precision at the operating point.

Average precision is what pycocotools gives: `map` over overlaps (IoU) of 0.50 to 0.95, `map50` and `map75` at one, and
by size of the things (`map_small` under 32 x 32 pixels, `map_large` over 96 x 96). Recall, precision and F1 are those
of the boxes that the head accepts, at an overlap of at least one half, over the things of all labels together;
`recall_min` is the worst label's. Intervals are a bootstrap over images (Efron & Tibshirani, 1993),
seeded, and never narrower than a score interval (Wilson, 1927) with as many trials as there are things, or boxes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trunkline.algorithms.heads.base import Scores, Things
from trunkline.algorithms.heads.detect.boxes import RIGHT, matched
from trunkline.algorithms.metrics.intervals import f1_interval, quantiles, resampled_weights, wilson
from trunkline.algorithms.metrics.tables import class_rows
from trunkline.algorithms.metrics.types import ClassRow, Interval, Metrics
from trunkline.core.types.dataset import Boxed

_BOXES = 100  # of an image, as COCO counts
_RECALLS = np.linspace(0.0, 1.0, 101)
_OVERLAPS = np.linspace(0.5, 0.95, 10)
_DRAWS, _AT_ONCE = 200, 50


def evaluate(labels: tuple[str, ...], scores: Scores, targets: Sequence[Boxed], intervals: bool) -> Metrics:
    """Score boxes.

    Args:
        labels: The head's labels.
        scores: Its answers, with things.
        targets: What is in each of the n images.
        intervals: Whether to draw them.
    """
    things = scores.things
    if things is None:
        raise ValueError("expected things in the answers, got labels of whole images only")
    ranked = Ranked.of(labels, things, targets)
    by_label = np.array([_average_precision(one, np.ones((1, len(targets)), np.float32))[0] for one in ranked])
    known = [number for number, one in enumerate(ranked) if one.things.sum()]
    counts = np.stack([_counts(one) for one in ranked], axis=1)  # of k labels: right, false, missed
    rows = class_rows(labels, *counts, intervals=intervals)
    values = {
        "map50": _mean(by_label[known]),
        "ap50_min": float(by_label[known].min()) if known else float("nan"),
        **_rates(counts),
        "recall_min": min((rows[number].recall for number in known), default=float("nan")),
        "precision_min": min((row.precision for row in rows if not np.isnan(row.precision)), default=float("nan")),
        "unsure_rate": float(scores.unsure.mean()),
        **_coco(labels, things, targets),
    }
    notes = {"ap50_min": f"the worst label is {labels[known[int(by_label[known].argmin())]]}"} if known else {}
    rows = [replace(row, average_precision=float(value)) for row, value in zip(rows, by_label, strict=True)]
    if not intervals:
        return Metrics(values, {}, rows, None, notes)
    drawn = _Drawn(labels, things, targets, known)
    return Metrics(values, drawn.intervals(ranked, values, rows, scores.unsure), rows, None, notes)


class Ranked:
    """Boxes of one label in all images, by falling score.

    Attributes:
        images: Image of each of m boxes, shape (m,).
        right: Whether it lies on a thing that no better box lies on, bool of shape (m,).
        accepted: Whether the head stands for it, bool of shape (m,).
        things: Things of the label in each of n images, shape (n,).
    """

    def __init__(self, images: np.ndarray, right: np.ndarray, accepted: np.ndarray, things: np.ndarray) -> None:
        self.images, self.right, self.accepted, self.things = images, right, accepted, things

    @classmethod
    def of(
        cls, labels: Sequence[str], found: Sequence[Things], targets: Sequence[Boxed], least: float = RIGHT
    ) -> list[Ranked]:
        """One for each label; boxes are right from an overlap of `least` on."""
        index = {label: number for number, label in enumerate(labels)}
        parts: list[list[tuple[np.ndarray, ...]]] = [[] for _ in labels]
        things = np.zeros((len(labels), len(targets)), np.int64)
        for image, (one, target) in enumerate(zip(found, targets, strict=True)):
            own = [box for box in target.shares() if box.label in index]
            truth = np.array([(box.x1, box.y1, box.x2, box.y2) for box in own], np.float64).reshape(-1, 4)
            named = np.array([index[box.label] for box in own], np.int64)
            things[:, image] += np.bincount(named, minlength=len(labels))
            right = matched(one.boxes, one.labels, truth, named, least)
            for number in np.unique(one.labels):
                rows = np.flatnonzero(one.labels == number)[:_BOXES]
                parts[number].append((np.full(len(rows), image), one.scores[rows], right[rows], one.accepted[rows]))
        return [cls._sorted(part, things[number]) for number, part in enumerate(parts)]

    @classmethod
    def _sorted(cls, parts: Sequence[tuple[np.ndarray, ...]], things: np.ndarray) -> Ranked:
        if not parts:
            none = np.zeros(0, bool)
            return cls(np.zeros(0, np.int64), none, none, things)
        images, scores, right, accepted = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        return cls(images[order], right[order], accepted[order], things)


def _average_precision(ranked: Ranked, weights: np.ndarray) -> np.ndarray:
    """AP at an overlap of one half, over 101 recalls as COCO takes them.

    Args:
        ranked: Boxes of one label.
        weights: How often each image counts, shape (draws, n).

    Returns:
        Shape (draws,); NaN where there is no thing.
    """
    there = weights @ ranked.things
    if not len(ranked.images):
        return np.where(there > 0, 0.0, np.nan)
    counted = weights[:, ranked.images]
    right = np.cumsum(counted * ranked.right, axis=1)
    seen = np.cumsum(counted, axis=1)
    with np.errstate(all="ignore"):
        precision = np.where(seen > 0, right / seen, 0.0)
        recall = right / there[:, None]
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    out = np.full(len(weights), np.nan)
    for row in np.flatnonzero(there > 0):
        places = np.searchsorted(recall[row], _RECALLS - 1e-9, side="left")
        out[row] = np.where(
            places < recall.shape[1], precision[row, np.minimum(places, recall.shape[1] - 1)], 0.0
        ).mean()
    return out


def map50(ranked: Sequence[Ranked], weights: np.ndarray) -> np.ndarray:
    """Mean over the labels that are there, for rows of how often each image counts, shape (draws,)."""
    each = np.stack([_average_precision(one, weights) for one in ranked])
    with np.errstate(all="ignore"):
        there = ~np.isnan(each)
        return np.where(there.any(axis=0), np.where(there, each, 0.0).sum(axis=0) / there.sum(axis=0), np.nan)


def _counts(ranked: Ranked) -> np.ndarray:
    """Right, false and missed, of the boxes that are accepted."""
    right = int((ranked.right & ranked.accepted).sum())
    return np.array([right, int(ranked.accepted.sum()) - right, int(ranked.things.sum()) - right])


def _rates(counts: np.ndarray) -> dict[str, float]:
    right, false, missed = (float(total) for total in counts.sum(axis=1))
    return {
        "recall": right / (right + missed) if right + missed else float("nan"),
        "precision": right / (right + false) if right + false else float("nan"),
        "f1": 2 * right / (2 * right + false + missed) if right + false + missed else float("nan"),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


class _Drawn:
    """Figures of resamples of the images, seeded.

    Args:
        labels: The head's labels.
        things: What it says.
        targets: What is there.
        known: Labels of which there is a thing, by place.
    """

    def __init__(
        self, labels: Sequence[str], things: Sequence[Things], targets: Sequence[Boxed], known: Sequence[int]
    ) -> None:
        self._known = known
        self._strict = [[Ranked.of(labels, things, targets, least)[n] for n in known] for least in _OVERLAPS]
        blocks = range(0, _DRAWS, _AT_ONCE)
        self._weights = [resampled_weights(np.zeros(len(targets), bool), _AT_ONCE, seed) for seed in blocks]

    def intervals(
        self, ranked: Sequence[Ranked], values: dict[str, float], rows: Sequence[ClassRow], unsure: np.ndarray
    ) -> dict[str, Interval]:
        """95 % intervals of the figures.

        Args:
            ranked: Boxes of each label.
            values: The figures.
            rows: Each label's.
            unsure: Whether each image is.
        """
        counts = np.stack([_counts(one) for one in ranked], axis=1).sum(axis=1)
        things, boxes = int(counts[0] + counts[2]), int(counts[0] + counts[1])
        draws = self._rates(ranked)
        trials = {"map50": things, "map": things, "recall": things, "precision": boxes, "f1": things + boxes}
        out: dict[str, Interval] = {"unsure_rate": wilson(values["unsure_rate"], len(unsure))}
        if self._known:
            each = [map50(strict, self._block()) for strict in self._strict]
            draws |= {"map50": each[0], "map": np.mean(each, axis=0)}
            worst = min(self._strict[0], key=lambda one: float(_average_precision(one, _once(one))[0]))
            draws["ap50_min"] = _average_precision(worst, self._block())
            trials["ap50_min"] = int(worst.things.sum())
        for name, drawn in draws.items():
            finite = drawn[np.isfinite(drawn)]
            if len(finite) and np.isfinite(values[name]):
                low, high = quantiles(finite, values[name])
                least, most = wilson(values[name], trials[name])
                out[name] = min(low, least), max(high, most)
        if boxes + things:
            low, high = f1_interval(counts[:, None])
            out["f1"] = min(out.get("f1", (low, high))[0], low), max(out.get("f1", (low, high))[1], high)
        return out | _of_worst(rows)

    def _block(self) -> np.ndarray:
        return np.concatenate(self._weights)

    def _rates(self, ranked: Sequence[Ranked]) -> dict[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {"recall": [], "precision": [], "f1": []}
        for weights in self._weights:
            right, false, missed = np.zeros((3, len(weights)))
            for one in ranked:
                counted = weights[:, one.images]
                hits, taken = counted @ (one.right & one.accepted), counted @ one.accepted
                right, false, missed = right + hits, false + taken - hits, missed + weights @ one.things - hits
            with np.errstate(all="ignore"):
                parts["recall"].append(right / (right + missed))
                parts["precision"].append(right / (right + false))
                parts["f1"].append(2 * right / (2 * right + false + missed))
        return {name: np.concatenate(part) for name, part in parts.items()}


def _once(ranked: Ranked) -> np.ndarray:
    return np.ones((1, len(ranked.things)), np.float32)


def _of_worst(rows: Sequence[ClassRow]) -> dict[str, Interval]:
    """Intervals of the worst labels' recall and precision."""
    out: dict[str, Interval] = {}
    recalls = [row for row in rows if row.n]
    if recalls:
        out["recall_min"] = min(recalls, key=lambda row: row.recall).recall_interval
    precisions = [row for row in rows if not np.isnan(row.precision)]
    if precisions:
        out["precision_min"] = min(precisions, key=lambda row: row.precision).precision_interval
    return out


def _coco(labels: Sequence[str], things: Sequence[Things], targets: Sequence[Boxed]) -> dict[str, float]:
    """`map`, `map75` and by size, by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    index = {label: number + 1 for number, label in enumerate(labels)}
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (one, target) in enumerate(zip(things, targets, strict=True)):
        for box in target.boxes:
            if box.label in index:
                side = [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]
                truth.append(
                    {"id": len(truth) + 1, "image_id": image, "category_id": index[box.label], "bbox": side,
                     "area": side[2] * side[3], "iscrowd": 0}
                )  # fmt: skip
        scale = np.array([target.width, target.height] * 2)
        for place, label, score in zip(one.boxes * scale, one.labels, one.scores, strict=True):
            x1, y1, x2, y2 = (float(value) for value in place)
            side = [x1, y1, x2 - x1, y2 - y1]
            found.append({"image_id": image, "category_id": int(label) + 1, "bbox": side, "score": float(score)})
    names = ("map", "map75", "map_small", "map_medium", "map_large")
    if not truth or not found:
        return dict.fromkeys(names, 0.0 if truth else float("nan"))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its tables
        known = COCO()
        known.dataset = {
            "images": [{"id": image, "width": t.width, "height": t.height} for image, t in enumerate(targets)],
            "annotations": truth,
            "categories": [{"id": number, "name": label} for label, number in index.items()],
        }
        known.createIndex()
        judge = COCOeval(known, known.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    picked = (judge.stats[place] for place in (0, 2, 3, 4, 5))
    return {name: float(value) if value >= 0 else float("nan") for name, value in zip(names, picked, strict=True)}
