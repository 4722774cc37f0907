"""One label an image. All figures but `accuracy_sure` and `unsure_rate` are over all images, unsure ones included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics.intervals import mover, quantiles, resampled_weights, wilson
from trunkline.algorithms.metrics.tables import class_rows, worst
from trunkline.algorithms.metrics.types import Interval, Metrics

_BINS = 10
_STRANGER = -1


def evaluate(labels: tuple[str, ...], scores: Scores, targets: Sequence[Sequence[str]], intervals: bool) -> Metrics:
    """Figures of a classification; a true label that the head does not know counts as a wrong answer.

    What cannot be measured is NaN: the worst of the classes when one of them has no test images, what is right of the
    sure answers when there are none.
    """
    k = len(labels)
    truth = _truth(labels, targets)
    answer = scores.probabilities.argmax(axis=1)
    known = truth != _STRANGER
    confusion = np.bincount(truth[known] * k + answer[known], minlength=k * k).reshape(k, k)
    true = confusion.diagonal()
    false = np.bincount(answer, minlength=k) - true
    missed = confusion.sum(axis=1) - true
    rows, draws = class_rows(labels, true, false, missed, intervals=intervals)
    tested = confusion.sum(axis=1) > 0
    right = answer == truth
    sure = ~scores.unsure
    n, sures = len(truth), int(sure.sum())
    recalls = [row.recall for row in rows if row.n]
    recall_min, recall_span, recall_note = worst(rows, "recall")
    precision_min, precision_span, precision_note = worst(rows, "precision")
    losses, confidence = _losses(scores.probabilities, truth), scores.probabilities.max(axis=1).astype(np.float64)
    values = {
        "accuracy": float(right.mean()),
        "recall_min": recall_min,
        "recall_macro": float(np.mean(recalls)) if recalls else np.nan,
        "precision_min": precision_min,
        "f1_macro": float(np.mean([row.f1 for row in rows if row.n])) if recalls else np.nan,
        "unsure_rate": float(scores.unsure.mean()),
        "accuracy_sure": float(right[sure].mean()) if sures else np.nan,
        "log_loss": float(losses.mean()),
        "ece": float(_ece(np.ones((1, n), np.float32), confidence, right)[0]),
    }
    notes = {"recall_min": recall_note, "precision_min": precision_note, "accuracy_sure": f"{sures} of {n} images"}
    strangers = sorted({name for target in targets if _index(labels, target) == _STRANGER for name in target})
    if strangers:
        notes["accuracy"] = f"labels that the head does not know count as wrong: {strangers}"
    if not tested.all():
        notes["recall_macro"] = notes["f1_macro"] = "without labels that have no test images"
    spans: dict[str, Interval] = {}
    if intervals:
        weights = resampled_weights(truth)
        mean_f1 = draws[:, tested].mean(axis=1) if recalls else np.zeros(1)
        spans = {
            "accuracy": wilson(values["accuracy"], n),
            "recall_min": recall_span,
            "recall_macro": mover(recalls, [row.recall_interval for row in rows if row.n]),
            "precision_min": precision_span,
            "f1_macro": quantiles(mean_f1, values["f1_macro"]),
            "unsure_rate": wilson(values["unsure_rate"], n),
            "accuracy_sure": wilson(values["accuracy_sure"], sures),
            "log_loss": quantiles(weights @ losses / n, values["log_loss"]),
            "ece": quantiles(_ece(weights, confidence, right), values["ece"]),
        }
    return Metrics(values, spans, rows, confusion.tolist(), notes)


def _index(labels: tuple[str, ...], target: Sequence[str]) -> int:
    return next((labels.index(label) for label in target if label in labels), _STRANGER)


def _truth(labels: tuple[str, ...], targets: Sequence[Sequence[str]]) -> np.ndarray:
    """Column of each image's label, shape (n,); -1 for a label that the head does not know."""
    return np.array([_index(labels, target) for target in targets], np.int64)


def _losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log-likelihood an image, shape (n,), with probabilities held over 1e-7 so that all are finite."""
    own = np.where(truth == _STRANGER, 0.0, probabilities[np.arange(len(truth)), np.maximum(truth, 0)])
    return -np.log(np.clip(own.astype(np.float64), 1e-7, 1.0))


def _ece(weights: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Expected calibration error of the top answer over ten equal bins (Naeini et al., 2015), for each row of weights.

    Args:
        weights: How often each image counts, shape (r, n).
        confidence: Probability of the answer, shape (n,).
        right: Whether the answer is right, shape (n,).
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    spread = np.zeros((len(confidence), _BINS), np.float32)
    spread[np.arange(len(confidence)), bins] = confidence - right
    return np.asarray(np.abs(weights @ spread).sum(axis=1) / weights.sum(axis=1))
