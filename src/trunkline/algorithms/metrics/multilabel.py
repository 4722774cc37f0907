"""A set of labels an image: what the head accepts against what is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics.intervals import f1_draws, mover, quantiles, wilson
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
    rows, draws = class_rows(labels, true, false, missed, intervals=intervals)
    there: np.ndarray = np.any(truth, axis=0)
    columns = np.nonzero(there)[0]
    precisions = [average_precision(scores.probabilities[:, c], truth[:, c]) for c in columns]
    recall_min, recall_span, recall_note = worst(rows, "recall")
    precision_min, precision_span, precision_note = worst(rows, "precision")
    exact = ((truth == taken).all(axis=1) & ~strange).mean()
    total, n = int(2 * true.sum() + false.sum() + missed.sum()), len(truth)
    values = {
        "f1_macro": f1_macro(truth, taken),
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
        mean_f1 = draws[:, columns].mean(axis=1) if len(columns) else np.zeros(1)
        pooled = f1_draws(true.sum(keepdims=True), false.sum(keepdims=True), missed.sum(keepdims=True))
        each = [wilson(p, int(truth[:, c].sum())) for p, c in zip(precisions, columns, strict=True)]
        spans = {
            "f1_macro": quantiles(mean_f1, values["f1_macro"]),
            "f1_micro": quantiles(pooled, values["f1_micro"]),
            "recall_min": recall_span,
            "precision_min": precision_span,
            "average_precision": mover(precisions, each),
            "exact_match": wilson(values["exact_match"], n),
            "unsure_rate": wilson(values["unsure_rate"], n),
        }
    return Metrics(values, spans, rows, None, notes)


def f1_macro(truth: np.ndarray, taken: np.ndarray) -> float:
    """Mean F1 of the labels that some image has; NaN when none has any.

    Args:
        truth: What n images have of k labels, bool of shape (n, k).
        taken: What the head accepts, bool of shape (n, k).
    """
    there: np.ndarray = np.any(truth, axis=0)
    if not there.any():
        return np.nan
    f1 = 2 * (truth & taken).sum(axis=0) / np.maximum(truth.sum(axis=0) + taken.sum(axis=0), 1)
    return float(f1[there].mean())
