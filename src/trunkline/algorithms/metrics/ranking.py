"""Figures that look at the order of scores, not at a threshold."""

from __future__ import annotations

import numpy as np


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores over a negative, a tie counting one half; NaN without one of the two.

    Args:
        scores: Shape (n,).
        positive: Bool of shape (n,).
    """
    count = int(positive.sum())
    others = len(positive) - count
    if count == 0 or others == 0:
        return np.nan
    _, inverse, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[inverse]  # mean rank of ties
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


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
