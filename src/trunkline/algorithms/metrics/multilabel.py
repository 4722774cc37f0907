"""A set of labels an image: what the head accepts against what is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics.intervals import UNKNOWN, f1_interval, mean_interval, wilson
from trunkline.algorithms.metrics.ranking import average_precision
from trunkline.algorithms.metrics.tables import class_rows, worst
from trunkline.algorithms.metrics.types import Interval, Metrics


def evaluate(labels: tuple[str, ...], scores: Scores, targets: Sequence[Sequence[str]], intervals: bool) -> Metrics:
    """Figures of a multilabel head; a true label that it does not know makes the image no exact match.

    What cannot be measured is NaN: figures over labels when no test image has any, the worst of the labels when one of
    them has none.

    Intervals of average precision are binomial over the positives (Boyd, Eng and Page, 2013).
    """
    truth: np.ndarray = np.array([[label in target for label in labels] for target in targets], bool)
    strange = np.array([bool(set(target) - set(labels)) for target in targets], bool)
    taken = scores.accepted
    true, false, missed = (truth & taken).sum(axis=0), (~truth & taken).sum(axis=0), (truth & ~taken).sum(axis=0)
    rows = class_rows(labels, true, false, missed, intervals=intervals)
    there: np.ndarray = np.any(truth, axis=0)
    columns = np.nonzero(there)[0]
    precisions = [average_precision(scores.probabilities[:, c], truth[:, c]) for c in columns]
    recall_min, recall_span, recall_note = worst(rows, "recall")
    precision_min, precision_span, precision_note = worst(rows, "precision")
    exact = ((truth == taken).all(axis=1) & ~strange).mean()
    total, n = int(2 * true.sum() + false.sum() + missed.sum()), len(truth)
    values = {
        "f1_macro": float(f1_macro(truth, taken, np.ones((1, n), np.float32))[0]),
        "f1_micro": float(2 * true.sum() / total) if total else np.nan,
        "recall_min": recall_min,
        "precision_min": precision_min,
        "average_precision": float(np.mean(precisions)) if precisions else np.nan,
        "exact_match": float(exact),
        "unsure_rate": float(scores.unsure.mean()),
    }
    notes = {"recall_min": recall_note, "precision_min": precision_note}
    if not len(columns):
        notes |= dict.fromkeys(("f1_macro", "f1_micro", "average_precision"), "no test image has a label: add some")
    elif not there.all():
        notes["f1_macro"] = notes["average_precision"] = "without labels that no test image has"
    spans: dict[str, Interval] = {}
    if intervals:
        counts = np.stack([true, false, missed])
        pooled = counts.sum(axis=1, keepdims=True)
        spans = {
            "f1_macro": f1_interval(counts[:, columns], f1_variance(truth[:, columns], taken[:, columns])),
            "f1_micro": f1_interval(pooled, f1_variance(truth, taken, pooled=True)) if total else UNKNOWN,
            "recall_min": recall_span,
            "precision_min": precision_span,
            "average_precision": mean_interval(precisions, truth[:, columns].sum(axis=0).tolist()),
            "exact_match": wilson(values["exact_match"], n),
            "unsure_rate": wilson(values["unsure_rate"], n),
        }
    return Metrics(values, spans, rows, None, notes)


def f1_variance(truth: np.ndarray, taken: np.ndarray, *, pooled: bool = False) -> float:
    """Variance of the mean F1 of labels, or of the F1 of all pooled, by the delta method with images as units.

    Args:
        truth: What n images have of k labels, bool of shape (n, k); each label is there or taken somewhere.
        taken: What the head accepts, bool of shape (n, k).
        pooled: Whether all labels count as one.
    """
    hits, sizes = 2.0 * (truth & taken), truth.astype(np.float64) + taken
    if pooled:
        hits, sizes = hits.sum(axis=1, keepdims=True), sizes.sum(axis=1, keepdims=True)
    weights = 1 / np.maximum(sizes.sum(axis=0), 1) / max(sizes.shape[1], 1)
    f1 = hits.sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)
    moved = hits @ weights - sizes @ (f1 * weights)  # how far each image moves the mean
    return float(moved @ moved)


def f1_macro(truth: np.ndarray, taken: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean F1 of the labels that some image has, for each row of weights; NaN when none has any.

    Args:
        truth: What n images have of k labels, bool of shape (n, k).
        taken: What the head accepts, bool of shape (n, k).
        weights: How often each image counts, whole numbers in float32 of shape (r, n): their sums are exact.

    Returns:
        Shape (r,).
    """
    true, there, accepted = (weights @ part.astype(np.float32) for part in (truth & taken, truth, taken))
    f1 = 2 * true.astype(np.float64) / np.maximum(there + accepted, 1)  # 0 where no image has the label
    labels = (there > 0).sum(axis=1)
    return np.where(labels > 0, f1.sum(axis=1) / np.maximum(labels, 1), np.nan)
