"""A set of labels an image: one binary regression a label on pooled features.

A label is accepted when its probability is at or over its threshold. The threshold comes from the operating point, on
held-out probabilities, label by label:

- `recall` r: at least r of the images with the label get it. `false_reject_rate` r is `recall` 1 - r.
- `precision` p: of the images that get the label, at least p have it.
- `false_accept_rate` r: at most r of the images without the label get it.
- none: the best F1.

An image is `unsure` when a label's probability lies where held-out images with and without the label overlap most:
between the lowest 2 % of the one and the highest 2 % of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads import linear
from trunkline.algorithms.heads.base import FitJob, Fitted, Scores, one_hot
from trunkline.algorithms.heads.ridge import RidgeFit
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import OperatingPoint

_OVERLAP = 0.02


class Multilabel:
    """One least-squares regression a label, each with its own Platt calibration and threshold."""

    task = "multilabel"
    dense: tuple[str, ...] = ()

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        return [self._finish(job, fit) for job, fit in zip(jobs, linear.fit_linear(jobs), strict=True)]

    def _finish(self, job: FitJob, fit: RidgeFit) -> Fitted:
        targets = one_hot(job.targets, job.labels)
        platt = [linear.calibrate_sigmoid(fit.held_out[:, k], targets[:, k] > 0) for k in range(len(job.labels))]
        slope, offset = (np.array(values, np.float32) for values in zip(*platt, strict=True))
        scores = linear.sigmoid(fit.held_out * slope + offset)
        thresholds, unsure = {}, {}
        for column, label in enumerate(job.labels):
            has = targets[:, column] > 0
            thresholds[label] = label_threshold(scores[:, column], has, job.operating_point)
            unsure[label] = overlap(scores[:, column], has, thresholds[label])
        head = TrainedHead(
            task=self.task,
            labels=job.labels,
            trunk=job.table.trunk,
            weights={"weight": fit.weights * slope, "bias": fit.bias * slope + offset},
            config={"rung": "linear", "ridge": fit.ridge, "channels": list(job.channels)},
            thresholds=thresholds,
            unsure=unsure,
            calibration={"temperature": 1.0},
        )
        return Fitted(head, scores.astype(np.float32), {"cv_errors": fit.errors})

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        return self.decide(linear.logits_of(head, table), self.limits(head))

    @staticmethod
    def limits(head: TrainedHead) -> np.ndarray:
        rows = [(head.thresholds[label], *head.unsure[label]) for label in head.labels]
        return np.array(rows, np.float32).T

    @staticmethod
    def decide(logits: np.ndarray, limits: np.ndarray) -> Scores:
        scores = linear.sigmoid(logits)
        threshold, low, high = limits
        unsure: np.ndarray = np.any((scores >= low) & (scores < high), axis=-1)
        return Scores(scores, scores >= threshold, unsure)

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        return linear.linear_heatmap(head, table, label, contrast=False)


def label_threshold(scores: np.ndarray, has: np.ndarray, point: OperatingPoint) -> float:
    """Probability at or over which a label is accepted.

    Args:
        scores: Out-of-fold probabilities of n images, shape (n,).
        has: Whether each has the label, shape (n,).
        point: The operating point; see the module.
    """
    if not has.any() or has.all():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], has[order]
    true = np.cumsum(hit)
    false = np.cumsum(~hit)
    last = np.append(ranked[1:] != ranked[:-1], True)  # a threshold cannot part equal scores
    precision, recall = true / (true + false), true / has.sum()
    if point.recall is not None or point.false_reject_rate is not None:
        wanted = point.recall if point.recall is not None else 1 - (point.false_reject_rate or 0.0)
        chosen = int(np.nonzero(last & (recall >= wanted - 1e-9))[0].min())
    elif point.precision is not None:
        meets = np.nonzero(last & (precision >= point.precision))[0]
        chosen = int(meets.max()) if len(meets) else -1
    elif point.false_accept_rate is not None:
        meets = np.nonzero(last & (false <= point.false_accept_rate * (~has).sum()))[0]
        chosen = int(meets.max()) if len(meets) else -1
    else:
        f1 = np.where(last, 2 * precision * recall / np.maximum(precision + recall, 1e-12), -1)
        chosen = int(np.argmax(f1))
    if chosen < 0:
        return 1.0  # not even the highest score alone would meet it
    below = ranked[chosen + 1] if chosen + 1 < len(ranked) else 0.0
    return float(min(max((ranked[chosen] + below) / 2, 1e-6), ranked[chosen]))


def overlap(scores: np.ndarray, has: np.ndarray, threshold: float) -> tuple[float, float]:
    """The band around the threshold where images with and without the label overlap; empty when they do not."""
    if not has.any() or has.all():
        return threshold, threshold
    low = float(np.quantile(scores[has], _OVERLAP))
    high = float(np.quantile(scores[~has], 1 - _OVERLAP))
    return (min(low, threshold), max(high, threshold)) if low < high else (threshold, threshold)
