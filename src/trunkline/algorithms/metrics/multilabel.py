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

    Intervals of average precision are binomial over the positives (Boyd, Eng and Page, 2013).
    """
    truth: np.ndarray = np.array([[label in target for label in labels] for target in targets], bool)
    strange = np.array([bool(set(target) - set(labels)) for target in targets], bool)
    taken = scores.accepted
    true, false, missed = (truth & taken).sum(axis=0), (~truth & taken).sum(axis=0), (truth & ~taken).sum(axis=0)
    rows, draws = class_rows(labels, true, false, missed, intervals=intervals)
    there: np.ndarray = np.any(truth, axis=0)
    said: np.ndarray = np.any(taken, axis=0)
    columns = np.nonzero(there)[0]
    precisions = [average_precision(scores.probabilities[:, c], truth[:, c]) for c in columns]
    recall_min, recall_span, recall_note = worst(rows, "recall", list(there))
    precision_min, precision_span, precision_note = worst(rows, "precision", list(said))
    exact = ((truth == taken).all(axis=1) & ~strange).mean()
    total, n = int(2 * true.sum() + false.sum() + missed.sum()), len(truth)
    values = {
        "f1_macro": float(np.mean([rows[c].f1 for c in columns])) if len(columns) else 0.0,
        "f1_micro": float(2 * true.sum() / total) if total else 0.0,
        "recall_min": recall_min,
        "precision_min": precision_min,
        "average_precision": float(np.mean(precisions)) if precisions else 0.0,
        "exact_match": float(exact),
        "unsure_rate": float(scores.unsure.mean()),
    }
    notes = {"recall_min": recall_note, "precision_min": precision_note}
    if not there.all():
        notes["f1_macro"] = notes["average_precision"] = "without labels that no test image has"
    spans: dict[str, Interval] = {}
    if intervals:
        mean_f1 = draws[:, columns].mean(axis=1) if len(columns) else np.array([0.0, 1.0])
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
