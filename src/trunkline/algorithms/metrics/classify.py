"""One label an image. All figures but `accuracy_sure` and `unsure_rate` are over all images, unsure ones included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics.intervals import f1_interval, mean_interval, quantiles, resampled_weights, wilson
from trunkline.algorithms.metrics.tables import class_rows, worst
from trunkline.algorithms.metrics.types import Interval, Metrics

_BINS = 10
_STRANGER = -1
_LEAST = 1e-7


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
    rows = class_rows(labels, true, false, missed, intervals=intervals)
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
    if not recalls:
        notes |= dict.fromkeys(("recall_macro", "f1_macro"), "no test image has a label that the head knows: add some")
    elif not tested.all():
        notes["recall_macro"] = notes["f1_macro"] = "without labels that have no test images"
    spans: dict[str, Interval] = {}
    if intervals:
        counts = np.stack([true, false, missed])[:, tested]
        unknown = np.bincount(answer[~known], minlength=k)
        spans = {
            "accuracy": wilson(values["accuracy"], n),
            "recall_min": recall_span,
            "recall_macro": mean_interval(recalls, [row.n for row in rows if row.n]),
            "precision_min": precision_span,
            "f1_macro": f1_interval(counts, _f1_variance(confusion, unknown), shared=2),
            "unsure_rate": wilson(values["unsure_rate"], n),
            "accuracy_sure": wilson(values["accuracy_sure"], sures),
            **_calibration_spans(values, losses, confidence, right, resampled_weights(truth)),
        }
    return Metrics(values, spans, rows, confusion.tolist(), notes)


def _index(labels: tuple[str, ...], target: Sequence[str]) -> int:
    return next((labels.index(label) for label in target if label in labels), _STRANGER)


def _truth(labels: tuple[str, ...], targets: Sequence[Sequence[str]]) -> np.ndarray:
    """Column of each image's label, shape (n,); -1 for a label that the head does not know."""
    return np.array([_index(labels, target) for target in targets], np.int64)


def _losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log-likelihood an image, shape (n,), with probabilities held over `_LEAST` so that all are finite."""
    own = np.where(truth == _STRANGER, 0.0, probabilities[np.arange(len(truth)), np.maximum(truth, 0)])
    return -np.log(np.clip(own.astype(np.float64), _LEAST, 1.0))


def _f1_variance(confusion: np.ndarray, strangers: np.ndarray) -> float:
    """Variance of the mean F1 of the labels that have test images, by the delta method with images as units.

    Args:
        confusion: Images by known label and answer, shape (k, k).
        strangers: Images of unknown labels by answer, shape (k,).
    """
    tested = confusion.sum(axis=1) > 0
    size = confusion.sum(axis=0) + confusion.sum(axis=1) + strangers
    weight = tested / np.maximum(size, 1) / max(int(tested.sum()), 1)
    lost = 2 * confusion.diagonal() / np.maximum(size, 1) * weight  # what an image takes from the mean, by label
    moved = np.diag(2 * weight) - lost[:, None] - lost
    return float((confusion * moved**2).sum() + (strangers * lost**2).sum())


def _calibration_spans(
    values: dict[str, float], losses: np.ndarray, confidence: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> dict[str, Interval]:
    """Intervals of log loss and calibration error: a bootstrap, and the mistakes that too few images show.

    Resamples of images without a mistake have none either. So the ends lie at least as far off as the share of mistakes
    may be from the one seen (Wilson's upper end); in log loss, each costs what the confidence of the answers makes it.

    Args:
        values: `accuracy`, `log_loss` and `ece`.
        losses: Of n images, shape (n,).
        confidence: Of their answers, shape (n,).
        right: Whether each is right, shape (n,).
        weights: Resamples, shape (r, n).
    """
    wrong = 1 - values["accuracy"]
    unseen = wilson(wrong, len(right))[1] - wrong
    dear = float(-np.log(np.clip(1 - confidence, _LEAST, 1.0)).mean())
    low, high = quantiles(weights @ losses / len(right), values["log_loss"])
    near, far = quantiles(_ece(weights, confidence, right), values["ece"])
    return {
        "log_loss": (low, max(high, values["log_loss"] + unseen * dear)),
        "ece": (max(0.0, min(near, values["ece"] - unseen)), min(1.0, max(far, values["ece"] + unseen))),
    }


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
