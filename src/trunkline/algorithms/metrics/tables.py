"""Rows by label, shared by the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.metrics.intervals import UNKNOWN, f1_draws, quantiles, wilson
from trunkline.algorithms.metrics.types import ClassRow, Interval


def class_rows(
    labels: Sequence[str], true: np.ndarray, false: np.ndarray, missed: np.ndarray, *, intervals: bool
) -> tuple[list[ClassRow], np.ndarray]:
    """Precision, recall and F1 of k labels.

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
        precision, recall = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
        f1 = 2 * tp / max(2 * tp + fp + fn, 1)
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


def worst(rows: Sequence[ClassRow], figure: str, among: Sequence[bool]) -> tuple[float, Interval, str]:
    """The smallest figure of the labels that have one: value, interval, note.

    Args:
        rows: One a label.
        figure: "precision" or "recall".
        among: Which labels have the figure at all.
    """
    known = [row for row, has in zip(rows, among, strict=True) if has]
    if not known:
        return 0.0, UNKNOWN, f"no label has a {figure} on these test images"
    row = min(known, key=lambda r: (getattr(r, figure), r.label))
    left_out = [r.label for r, has in zip(rows, among, strict=True) if not has]
    why = "no test images" if figure == "recall" else "never the answer"
    note = f"worst class: {row.label}" + (f"; without {', '.join(left_out)} ({why})" if left_out else "")
    return getattr(row, figure), getattr(row, f"{figure}_interval"), note
