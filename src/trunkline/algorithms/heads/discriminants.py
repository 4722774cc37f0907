"""Least-squares scores to logits: as they are, and as linear discriminants, half and half.

The largest least-squares score is a good answer, but it takes the scores for independent and equally noisy, which they
are not: two labels that look alike rise and fall together. Discriminant analysis in the space of the scores takes that
into account and equals a discriminant analysis whose within-class covariance carries the ridge (Hastie, Tibshirani and
Buja, "Flexible discriminant analysis by optimal scoring", JASA 1994; Hastie, Buja and Tibshirani, "Penalized
discriminant analysis", Annals of Statistics 1995). It needs a covariance, which few images tell badly. The mean of the
two logits is better than either; docs/decisions/0002-linear-head.md. A last factor keeps
them from claiming more than the images show. All of it is linear, so the head stays linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trunkline.algorithms.heads.linear import calibrate_softmax, temper

_FOLDS = 5
_PRIOR = 2.0  # images that say "equal and independent", for each label, before the first one is seen
_LEAST = 1e-4  # variance of scores about their class: held-out scores of perfectly parted classes hardly vary


@dataclass(frozen=True)
class Logits:
    """Scores to calibrated logits: scores @ matrix + offset.

    Attributes:
        matrix: Shape (k, k).
        offset: Shape (k,).
        held_out: Logits of the training rows, each from discriminants that were made without its group, shape (n, k).
    """

    matrix: np.ndarray
    offset: np.ndarray
    held_out: np.ndarray


def fit_logits(scores: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Logits:
    """Fit discriminants and calibrate.

    Args:
        scores: Held-out least-squares scores of shape (n, k).
        targets: One-hot, shape (n, k).
        groups: Rows that are left out together, shape (n,).
    """
    scores = np.asarray(scores, np.float64)
    warmth, bias = calibrate_softmax(scores, targets)
    matrix, offset = discriminants(scores, targets)
    held = np.empty_like(scores)
    fold = _folds(targets.argmax(axis=1), groups)
    for number in np.unique(fold):
        out = fold == number
        if not targets[~out].any(axis=0).all():  # nothing is known of a label that the others lack
            held[out] = scores[out] / warmth + bias
            continue
        apart = discriminants(scores[~out], targets[~out])
        held[out] = scores[out] @ apart[0] + apart[1]
    second_warmth, second_bias = calibrate_softmax(held, targets, slope=1.0)
    mixed = (scores / warmth + bias + held / second_warmth + second_bias) / 2
    slope = temper(mixed, targets)
    return Logits(
        matrix=slope * (np.eye(len(bias)) / warmth + matrix / second_warmth) / 2,
        offset=slope * (bias + offset / second_warmth + second_bias) / 2,
        held_out=slope * mixed,
    )


def discriminants(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminants of equal priors.

    Args:
        scores: Shape (n, k).
        targets: One-hot, shape (n, k).

    Returns:
        matrix (k, k) and offset (k,): logits are scores @ matrix + offset.
    """
    n, k = targets.shape
    means = (targets.T @ scores) / np.maximum(targets.sum(axis=0), 1)[:, None]
    apart = scores - targets @ means
    scatter, freedom = apart.T @ apart, max(n - k, 1)
    variance = max(np.trace(scatter) / freedom / max(k - 1, 1), _LEAST)  # k - 1: scores add up to one
    within = (scatter + _PRIOR * k * variance * np.eye(k)) / (freedom + _PRIOR * k)
    matrix = np.linalg.solve(within, means.T)
    return matrix, -0.5 * np.einsum("ck,kc->c", means, matrix)


def _folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Fold of each row, shape (n,): labels are dealt out evenly, a group stays together."""
    place = np.empty(len(labels), np.int64)
    place[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(place[first[group]] % _FOLDS)
