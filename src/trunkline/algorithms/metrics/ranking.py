"""Figures that look at the order of scores, not at a threshold."""

from __future__ import annotations

import numpy as np


def auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that a positive scores over a negative, a tie counting one half, for each row of weights.

    Args:
        scores: Shape (n,).
        positive: Bool of shape (n,).
        weights: How often each image counts, whole numbers of shape (r, n).

    Returns:
        Shape (r,); NaN without one of the two.
    """
    order = np.argsort(scores, kind="stable")
    hits, others = order[positive[order]], order[~positive[order]]
    counted = weights[:, hits].astype(np.float64)
    passed = np.zeros((len(weights), len(others) + 1))
    np.cumsum(weights[:, others], axis=1, out=passed[:, 1:])
    over = sum(passed[:, np.searchsorted(scores[others], scores[hits], side)] for side in ("left", "right"))
    pairs = counted.sum(axis=1) * passed[:, -1]
    return np.where(pairs > 0, (counted * over).sum(axis=1) / np.maximum(2 * pairs, 1), np.nan)


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Sum over thresholds of precision times the gain in recall; NaN without a positive.

    Args:
        scores: Shape (n,).
        positive: Bool of shape (n,).
    """
    count = int(positive.sum())
    if count == 0:
        return np.nan
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    last = np.append(ranked[1:] != ranked[:-1], True)
    precision = hits[last] / (np.nonzero(last)[0] + 1)
    return float(np.sum(precision * np.diff(hits[last], prepend=0)) / count)
