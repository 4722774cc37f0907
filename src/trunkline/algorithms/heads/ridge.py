"""Regularised least squares on one-hot targets, for many scenarios and all strengths of regularisation at once.

Source: Rifkin, Yeo and Poggio, "Regularized least-squares classification" (2003). Features are standardised and rotated
so that X'X is diagonal; then the solution for every ridge, and what each image's score would have been had it (and its
near-duplicates) been left out, are closed forms: leaving out rows g, the error is (I - H_gg)^-1 r_g, where H is the hat
matrix and r the residuals (Allen's PRESS, 1974). Cross-validation costs nothing beside the one decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGES = np.array([3.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 30000.0], np.float32)
"""Strengths tried, in units of one standardised feature's square; docs/decisions/0002-linear-head.md."""


@dataclass(frozen=True)
class RidgeFit:
    """One scenario's fit.

    Attributes:
        weights: For raw features, float32 of shape (d, k).
        bias: Float32 of shape (k,).
        held_out: Score of each training row from the fit without its group, shape (n, k).
        ridge: The strength with the least held-out squared error.
        errors: Held-out mean squared error by ridge.
    """

    weights: np.ndarray
    bias: np.ndarray
    held_out: np.ndarray
    ridge: float
    errors: dict[float, float]


def fit_stack(features: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> list[RidgeFit]:
    """Fit s scenarios of the same shape in one go.

    Args:
        features: Float32 of shape (s, n, d).
        targets: 0/1 of shape (s, n, k).
        groups: Rows that are left out together, shape (s, n).
    """
    n = features.shape[1]
    mean = features.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    x = features - mean
    deviation = np.sqrt(np.mean(np.square(x), axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    # A feature that hardly varies would be noise blown up; it is left out (weight 0).
    scale = np.where(deviation > 1e-4 * np.abs(mean) + 1e-6, deviation, np.inf).astype(np.float32)
    x /= scale
    left, root, rotation = _decompose(x)
    centre = targets.mean(axis=1, keepdims=True)
    along = left.transpose(0, 2, 1) @ (targets - centre)  # (s, r, k)
    energy = root**2
    shrink = energy[:, None, :] / (energy[:, None, :] + RIDGES[:, None])  # (s, ridges, r)
    scores = np.einsum("snr,sar,srk->sank", left, shrink, along, optimize=True) + centre[:, None]
    held = np.stack([_hold_out(left[i], shrink[i], scores[i], targets[i], groups[i]) for i in range(len(x))])
    errors = np.mean((held - targets[:, None]) ** 2, axis=(2, 3))  # (s, ridges)
    best = errors.argmin(axis=1)
    gain = root / (energy + RIDGES[best][:, None])
    weights = (rotation @ (gain[:, :, None] * along)) / scale.transpose(0, 2, 1)
    bias = centre[:, 0] - np.einsum("sd,sdk->sk", mean[:, 0], weights)
    return [
        RidgeFit(
            weights[i].astype(np.float32),
            bias[i].astype(np.float32),
            held[i, best[i]],
            float(RIDGES[best[i]]),
            {float(ridge): round(float(e), 6) for ridge, e in zip(RIDGES, errors[i], strict=True)},
        )
        for i in range(len(x))
        if n
    ]


def _decompose(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thin SVD of each (n, d) matrix by the smaller Gram matrix: left (s, n, r), root (s, r), rotation (s, d, r)."""
    n, d = x.shape[1:]
    xt = x.transpose(0, 2, 1)
    energy, vectors = np.linalg.eigh(x @ xt if n < d else xt @ x)
    root = np.sqrt(np.maximum(energy, 0))
    # Directions of no energy get a root that is huge, so that what is divided by it vanishes.
    safe = np.where(energy > 1e-5 * energy[:, -1:] + 1e-12, root, np.inf)[:, None, :]
    root = np.where(np.isinf(safe[:, 0]), 0, root)
    if n < d:
        left = np.where(np.isinf(safe), 0, vectors)
        return left, root, (xt @ vectors) / safe
    return (x @ vectors) / safe, root, vectors


def _hold_out(
    left: np.ndarray, shrink: np.ndarray, scores: np.ndarray, targets: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Scores (ridges, n, k) of rows left out with their group."""
    n = len(left)
    hat = (left**2) @ shrink.T + 1 / n  # (n, ridges)
    residual = targets - scores
    held = targets - residual / np.maximum(1 - hat.T, 1e-5)[..., None]
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    for number in np.nonzero(sizes > 1)[0]:
        rows = np.nonzero(group == number)[0]
        block = np.einsum("ir,ar,jr->aij", left[rows], shrink, left[rows]) + 1 / n
        apart = np.eye(len(rows), dtype=np.float32) * (1 + 1e-5) - block
        held[:, rows] = targets[rows] - np.linalg.solve(apart, residual[:, rows])
    return np.asarray(held)
