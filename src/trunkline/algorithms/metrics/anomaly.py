"""Good or not: figures of a detector of anomalies.

`recall` is the share of faulty images that are called so, `false_reject_rate` the share of good ones that are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics.intervals import auroc_interval, mover, wilson
from trunkline.algorithms.metrics.ranking import auroc, average_precision
from trunkline.algorithms.metrics.tables import class_rows
from trunkline.algorithms.metrics.types import Interval, Metrics


def evaluate(labels: tuple[str, ...], scores: Scores, targets: Sequence[Sequence[str]], intervals: bool) -> Metrics:
    """Figures of an anomaly head with the labels ("good", "anomaly"), in this order.

    Without faulty (or without good) test images, what needs them is NaN, with a note that says what to do.
    """
    faulty = np.array([labels[1] in target for target in targets], bool)
    refused = scores.accepted[:, 1]
    raw = scores.probabilities[:, 1] if scores.anomaly is None else scores.anomaly
    bad, good, n = int(faulty.sum()), int((~faulty).sum()), len(faulty)
    recall = float(refused[faulty].mean()) if bad else np.nan
    false_reject = float(refused[~faulty].mean()) if good else np.nan
    values = {
        "auroc": float(auroc(raw, faulty, np.ones((1, n), np.float32))[0]),
        "average_precision": average_precision(raw, faulty) if good else np.nan,  # else 1, whatever the scores
        "recall": recall,
        "false_reject_rate": false_reject,
        "balanced_accuracy": (recall + 1 - false_reject) / 2,
        "unsure_rate": float(scores.unsure.mean()),
    }
    confusion = np.array([[np.sum(~faulty & ~refused), np.sum(~faulty & refused)],
                          [np.sum(faulty & ~refused), np.sum(faulty & refused)]])  # fmt: skip
    true = confusion.diagonal()
    rows = class_rows(labels, true, confusion.sum(axis=0) - true, confusion.sum(axis=1) - true, intervals=intervals)
    notes: dict[str, str] = {}
    for count, kind, needing in (
        (bad, "faulty", ("auroc", "average_precision", "recall", "balanced_accuracy")),
        (good, "good", ("auroc", "average_precision", "false_reject_rate", "balanced_accuracy")),
    ):
        if count == 0:
            notes |= dict.fromkeys(needing, f"no test image is {kind}: add some")
    spans: dict[str, Interval] = {}
    if intervals:
        recall_span, reject_span = wilson(recall, bad), wilson(false_reject, good)
        keep_span = (1 - reject_span[1], 1 - reject_span[0])
        spans = {
            "auroc": auroc_interval(values["auroc"], bad, good),
            "average_precision": wilson(values["average_precision"], bad),
            "recall": recall_span,
            "false_reject_rate": reject_span,
            "balanced_accuracy": mover([recall, 1 - false_reject], [recall_span, keep_span]),
            "unsure_rate": wilson(values["unsure_rate"], n),
        }
    return Metrics(values, spans, rows, confusion.tolist(), notes)
