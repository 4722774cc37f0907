"""From arrays to the curves of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trunkline.platform.line.report.data import ClassFigures, Curve, CurvePoint, Figure, Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trunkline.algorithms.metrics.types import ClassRow

_POINTS = 120
_BINS = 28


def class_figures(rows: Sequence[ClassRow]) -> tuple[ClassFigures, ...]:
    """Rows of an evaluation as rows of a report."""
    return tuple(
        ClassFigures(
            row.label, row.n, Figure(row.recall, *row.recall_interval), Figure(row.precision, *row.precision_interval)
        )
        for row in rows
    )


def sure_curve(
    score: NDArray[np.floating], right: NDArray[np.bool_], unsure: NDArray[np.bool_], threshold: float = float("nan")
) -> Curve:
    """Share answered against share of the answers that is right, if only scores over a threshold were answered.

    Args:
        score: Calibrated score of what was said, shape (n,).
        right: Whether it is right, shape (n,).
        unsure: What the model itself leaves to a person, shape (n,).
        threshold: The score under which it does; NaN where no single score tells.

    Raises:
        ValueError: On no pictures, or arrays of different length.
    """
    count = len(score)
    if not count or not count == len(right) == len(unsure):
        raise ValueError(f"expected n > 0 scores, rights and unsures, got {count}, {len(right)} and {len(unsure)}")
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    ranked = np.asarray(score, np.float64)[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ranked)), count - 1)  # pictures of one score are answered together
    hits = np.cumsum(np.asarray(right, bool)[order])[last_of_ties]
    answered = last_of_ties + 1
    kept = _thin_out(len(answered))
    points = [
        CurvePoint(float(answered[i] / count), float(hits[i] / answered[i]), float(ranked[last_of_ties[i]]))
        for i in reversed(kept)
    ]
    sure = ~np.asarray(unsure, bool)
    accuracy = float(np.asarray(right, bool)[sure].mean()) if sure.any() else float("nan")
    return Curve("sure", tuple(points), CurvePoint(float(sure.mean()), accuracy, threshold))


def reject_curve(score: NDArray[np.floating], anomaly: NDArray[np.bool_], threshold: float) -> Curve:
    """Share of the good rejected against share of the flawed missed, over all thresholds.

    Args:
        score: Raw anomaly score, larger is stranger, shape (n,).
        anomaly: Whether the picture is flawed, shape (n,).
        threshold: At or over it the model says anomaly.

    Raises:
        ValueError: Where one of the two kinds is missing.
    """
    values = np.asarray(score, np.float64)
    flawed = np.sort(values[np.asarray(anomaly, bool)])
    good = np.sort(values[~np.asarray(anomaly, bool)])
    if not len(flawed) or not len(good):
        raise ValueError(f"expected good and flawed pictures, got {len(good)} and {len(flawed)}")

    def at(cut: float) -> CurvePoint:
        rejected = 1 - np.searchsorted(good, cut, "left") / len(good)
        return CurvePoint(float(rejected), float(np.searchsorted(flawed, cut, "left") / len(flawed)), float(cut))

    cuts = np.append(np.unique(values), np.inf)
    return Curve("reject", tuple(at(cuts[i]) for i in _thin_out(len(cuts))), at(threshold))


def _thin_out(count: int) -> list[int]:
    """At most `_POINTS` of `count` indices, first and last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, _POINTS))})


def histogram(
    score: NDArray[np.floating],
    anomaly: NDArray[np.bool_],
    threshold: float,
    unsure: tuple[float, float] | None = None,
) -> Histogram:
    """Anomaly scores of good and flawed pictures in bins of the same width.

    Args:
        score: Raw anomaly score, shape (n,), n > 0.
        anomaly: Whether the picture is flawed, shape (n,).
        threshold: The operating threshold.
        unsure: The unsure band, in units of the score.
    """
    values = np.asarray(score, np.float64)
    flawed = np.asarray(anomaly, bool)
    low, high = float(min(values.min(), threshold)), float(max(values.max(), threshold))
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    good, _ = np.histogram(values[~flawed], _BINS, (low, high))
    bad, _ = np.histogram(values[flawed], _BINS, (low, high))
    return Histogram(low, high, tuple(map(int, good)), tuple(map(int, bad)), float(threshold), unsure)
