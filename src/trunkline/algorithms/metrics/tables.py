"""Rows by label, shared by the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.metrics.intervals import UNKNOWN, f1_interval, wilson
from trunkline.algorithms.metrics.types import ClassRow, Interval


def class_rows(
    labels: Sequence[str], true: np.ndarray, false: np.ndarray, missed: np.ndarray, *, intervals: bool
) -> list[ClassRow]:
    """Precision, recall and F1 of k labels; NaN for a share of nothing.

    Args:
        labels: The labels.
        true: True positives, integers of shape (k,).
        false: False positives.
        missed: False negatives.
        intervals: Whether to make them.
    """
    rows = []
    for column, label in enumerate(labels):
        tp, fp, fn = int(true[column]), int(false[column]), int(missed[column])
        precision = tp / (tp + fp) if tp + fp else np.nan
        recall = tp / (tp + fn) if tp + fn else np.nan
        f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else np.nan
        if not intervals:
            rows.append(ClassRow(label, tp + fn, precision, recall, f1, fp))
            continue
        rows.append(
            ClassRow(
                label,
                tp + fn,
                precision,
                recall,
                f1,
                fp,
                wilson(precision, tp + fp),
                wilson(recall, tp + fn),
                f1_interval(np.array([[tp], [fp], [fn]])) if tp + fn else UNKNOWN,
            )
        )
    return rows


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
    missing = ", ".join(r.label for r in rows if np.isnan(getattr(r, figure)))
    if not missing and row is not None:
        return getattr(row, figure), getattr(row, f"{figure}_interval"), f"worst class: {row.label}"
    note = f"no test image is of {missing}: add some" if figure == "recall" else f"never the answer: {missing}"
    if row is not None:
        note += f"; worst of the other classes: {row.label} with {getattr(row, figure):.4f}"
    return np.nan, UNKNOWN, note
