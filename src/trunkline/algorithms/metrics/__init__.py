"""Metrics: how the answers of each task are scored, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trunkline.algorithms.metrics.types import ClassRow, Metrics
from trunkline.core.plugins import Table

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Scores
    from trunkline.core.types.dataset import Truth

__all__ = ["METRICS", "ClassRow", "Metrics", "evaluate"]

METRICS = Table(
    "metric",
    {
        "classify": "trunkline.algorithms.metrics.classify:evaluate",
        "multilabel": "trunkline.algorithms.metrics.multilabel:evaluate",
        "anomaly": "trunkline.algorithms.metrics.anomaly:evaluate",
        "detect": "trunkline.algorithms.metrics.detect:evaluate",
    },
)
"""Scoring functions by task, each `(labels, scores, targets, intervals) -> Metrics`."""


def evaluate(
    task: str, labels: Sequence[str], scores: Scores, targets: Sequence[Truth], *, intervals: bool = True
) -> Metrics:
    """Score a head's answers against the truth.

    Args:
        task: Name of the task.
        labels: The head's labels, in the order of its outputs.
        scores: Its answers on n images.
        targets: What is true of each of the n images: its labels, or what is in it, as the task has it.
        intervals: Leave the 95 % intervals out when only the values are wanted.

    Raises:
        NotFoundError: When the task has no metrics.
        ValueError: When answers and truths are not of the same n, or there are none.
    """
    count, width = scores.probabilities.shape
    if count != len(targets) or width != len(labels) or count == 0:
        raise ValueError(
            f"expected answers of shape ({len(targets)}, {len(labels)}) with at least one row, got ({count}, {width})"
        )
    metrics: Metrics = METRICS.load(task)(tuple(labels), scores, targets, intervals)
    return metrics
