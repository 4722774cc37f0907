"""Rows by label, shared by the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.metrics.intervals import UNKNOWN, f1_draws, quantiles, wilson
from trunkline.algorithms.metrics.types import ClassRow, Interval


def class_rows(
    labels: Sequence[str], true: np.ndarray, false: np.ndarray, missed: np.ndarray, *, intervals: bool
) -> tuple[list[ClassRow], np.ndarray]:
    """Precision, recall and F1 of k labels; NaN for a share of nothing.

    Args:
        labels: The labels.
        true: True positives, integers of shape (k,).
        false: False positives.
        missed: False negatives.
        intervals: Whether to make them.

    Returns:
        The rows, and posterior draws of F1 of shape (draws, k) (of shape (0, k) without intervals).
    """
    draws = f1_draws(true, false, missed) if intervals else np.zeros((0, len(labels)))
    rows = []
    for column, label in enumerate(labels):
        tp, fp, fn = int(true[column]), int(false[column]), int(missed[column])
        precision = tp / (tp + fp) if tp + fp else np.nan
        recall = tp / (tp + fn) if tp + fn else np.nan
        f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else np.nan
        if not intervals:
            rows.append(ClassRow(label, tp + fn, precision, recall, f1))
            continue
        f1_interval = quantiles(draws[:, column], f1) if tp + fn else UNKNOWN
        rows.append(
            ClassRow(
                label,
                tp + fn,
                precision,
                recall,
                f1,
                wilson(precision, tp + fp),
                wilson(recall, tp + fn),
                f1_interval,
            )
        )
    return rows, draws


def worst(rows: Sequence[ClassRow], figure: str) -> tuple[float, Interval, str]:
    """The smallest figure of all labels: value, interval, note.

    NaN as soon as one label has none: that label may be the worst, and nobody knows. The note says which it is, and
    what the worst of the others is.

    Args:
        rows: One a label.
        figure: "precision" or "recall".
    """
    known = [row for row in rows if not np.isnan(getattr(row, figure))]
    row = min(known, key=lambda r: (getattr(r, figure), r.label), default=None)
    missing = ", ".join(r.label for r in rows if r not in known)
    if not missing and row is not None:
        return getattr(row, figure), getattr(row, f"{figure}_interval"), f"worst class: {row.label}"
    note = f"no test image is of {missing}: add some" if figure == "recall" else f"never the answer: {missing}"
    if row is not None:
        note += f"; worst of the other classes: {row.label} with {getattr(row, figure):.4f}"
    return np.nan, UNKNOWN, note
