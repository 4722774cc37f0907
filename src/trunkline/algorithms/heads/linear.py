"""What the linear heads share: fitting many scenarios, calibration, explanation by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import FitJob, one_hot
from trunkline.algorithms.heads.ridge import RidgeFit, fit_stack
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead

_STACK_BYTES = 64 << 20  # features of one stacked fit, at the most
_DOUBT = 0.25  # wrong answers that n right ones do not rule out: about the median of the posterior, Jeffreys prior
_FAINT = 0.1  # one over the variance of the logarithm of a factor: next to nothing


def without_contrast(pooled: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Pooled features over their own strength, so that a darker or flatter picture of a thing gives the same.

    Mean, std and max of a tap are divided by the length of its std vector; docs/decisions/0002-linear-head.md.

    Args:
        pooled: Shape (n, d).
        channels: Channels of each tap; empty: the row is divided by its own length.
    """
    return np.asarray(pooled / strengths(pooled, channels))


def strengths(pooled: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """What `without_contrast` divides by, of shape (n, d) or (n, 1)."""
    if not channels:
        return np.asarray(np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6))
    parts, start = [], 0
    for count in channels:
        length = np.linalg.norm(pooled[:, start + count : start + 2 * count], axis=1, keepdims=True)
        parts.append(np.repeat(np.maximum(length, 1e-6), 3 * count, axis=1))
        start += 3 * count
    return np.concatenate(parts, axis=1)


def fit_linear(jobs: Sequence[FitJob]) -> list[RidgeFit]:
    """Fit one linear head a job; jobs of the same shape are decomposed and solved as one stack."""
    shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        shapes[(*job.table.pooled.shape, len(job.labels))].append(index)
    results: dict[int, RidgeFit] = {}
    for (n, d, _), members in shapes.items():
        size = max(1, _STACK_BYTES // (4 * n * d))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            fits = fit_stack(
                np.stack([without_contrast(jobs[i].table.pooled, jobs[i].channels) for i in part]),
                np.stack([one_hot(jobs[i].targets, jobs[i].labels) for i in part]),
                np.stack([jobs[i].groups for i in part]),
            )
            results.update(zip(part, fits, strict=True))
    return [results[i] for i in range(len(jobs))]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def calibrate_softmax(scores: np.ndarray, targets: np.ndarray, *, slope: float = 8.0) -> tuple[float, np.ndarray]:
    """Temperature and a bias for each label that make held-out log-loss least.

    Bias-corrected temperature scaling (Alexandari et al., ICML 2020), by damped Newton steps; a unit Gaussian on the
    biases and on the logarithm of the slope keeps it sane where there are few images.

    Args:
        scores: Held-out scores of shape (n, k).
        targets: 0/1 of shape (n, k).
        slope: What one over the temperature is about: least-squares scores lie about 0..1, 8 makes them logits.

    Returns:
        temperature, biases of shape (k,): probabilities are softmax(scores / temperature + biases).
    """
    n, k = scores.shape
    prior = np.log(slope)
    theta = np.zeros(k + 1)
    theta[0] = prior
    centred = scores - scores.mean(axis=1, keepdims=True)

    def loss(t: np.ndarray) -> float:
        p = softmax(np.exp(t[0]) * centred + t[1:])
        nll = -np.log(np.maximum((p * targets).sum(axis=1), 1e-12)).sum()
        return float(nll + 0.5 * (t[1:] ** 2).sum() + 0.5 * (t[0] - prior) ** 2)

    current = loss(theta)
    for _ in range(30):
        steep = np.exp(theta[0])
        p = softmax(steep * centred + theta[1:])
        jacobian = np.concatenate([(steep * centred)[:, :, None], np.broadcast_to(np.eye(k), (n, k, k))], axis=2)
        residual = p - targets
        gradient = np.einsum("nk,nkj->j", residual, jacobian)
        gradient += np.concatenate([[theta[0] - prior], theta[1:]])
        weighted = jacobian * p[:, :, None]
        mean = weighted.sum(axis=1)
        hessian = np.einsum("nki,nkj->ij", weighted, jacobian) - mean.T @ mean + np.eye(k + 1)
        step = np.linalg.solve(hessian, gradient)
        rate = 1.0
        while rate > 1e-4 and (new := loss(theta - rate * step)) > current:
            rate /= 2
        if rate <= 1e-4 or current - new < 1e-7 * max(1.0, abs(current)):
            break
        theta, current = theta - rate * step, new
    return float(np.exp(-theta[0])), theta[1:]


def temper(logits: np.ndarray, targets: np.ndarray) -> float:
    """What to multiply logits by so that they claim no more than n images can show.

    Held-out log-loss is made least on smoothed targets (after Platt, 1999): `_DOUBT / (n + 1)` of each image is taken
    for wrong. Without that, images that are all answered rightly ask for a slope without end. The largest label stays
    the largest.

    Args:
        logits: Held-out, shape (n, k).
        targets: One-hot, shape (n, k).

    Returns:
        The factor, e^-8..e^3; found by bisection, with a faint Gaussian on its logarithm.
    """
    n, k = logits.shape
    doubt = _DOUBT / (n + 1)
    smoothed = targets * (1 - doubt) + (1 - targets) * doubt / max(k - 1, 1)
    low, high = -8.0, 3.0
    for _ in range(24):
        middle = (low + high) / 2
        slope = np.exp(middle)
        rise = slope * float(((softmax(slope * logits) - smoothed) * logits).sum()) + _FAINT * middle
        low, high = (low, middle) if rise > 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def calibrate_sigmoid(scores: np.ndarray, has: np.ndarray) -> tuple[float, float]:
    """Slope and offset that turn one label's held-out scores into probabilities (Platt, 1999, smoothed targets).

    Args:
        scores: Shape (n,).
        has: Whether each image has the label, shape (n,).
    """
    positives, negatives = int(has.sum()), int((~has).sum())
    t = np.where(has, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    a, b = 8.0, -4.0

    def loss(a: float, b: float) -> float:
        z = a * scores + b
        return float((np.logaddexp(0, z) - t * z).sum() + 0.5e-3 * (a - 8) ** 2)

    current = loss(a, b)
    for _ in range(50):
        p = sigmoid(a * scores + b)
        r, w = p - t, np.maximum(p * (1 - p), 1e-9)
        gradient = np.array([(r * scores).sum() + 1e-3 * (a - 8), r.sum()])
        hessian = np.array([[(w * scores**2).sum() + 1e-3, (w * scores).sum()], [(w * scores).sum(), w.sum() + 1e-6]])
        step = np.linalg.solve(hessian, gradient)
        rate = 1.0
        while rate > 1e-4 and (new := loss(a - rate * step[0], b - rate * step[1])) > current:
            rate /= 2
        if rate <= 1e-4 or current - new < 1e-8 * max(1.0, current):
            break
        a, b, current = a - rate * step[0], b - rate * step[1], new
    return max(float(a), 1e-3), float(b)


def logits_of(head: TrainedHead, table: FeatureTable) -> np.ndarray:
    """Logits of n images, shape (n, k); calibration is folded into the weights but for the temperature."""
    features = without_contrast(table.pooled, head.config["channels"])
    logits = features @ head.weights["weight"] + head.weights["bias"]
    return np.asarray(logits / head.calibration["temperature"])


def linear_heatmap(head: TrainedHead, table: FeatureTable, label: str, *, contrast: bool) -> np.ndarray:
    """Where the evidence for a label is: the logit's own terms, laid out over the positions of the maps.

    The logit is linear in mean, std and max of each channel over the image's own strength, and each of those is a sum
    over positions: mean = sum x / P; std = sum ((x - mean)^2 + e) / (P std); max = x at its maximum. Nothing is
    approximated but the laying of coarser taps over the finest one.

    Args:
        head: A linear head.
        table: With the dense maps of all taps, finest first.
        label: The label to explain.
        contrast: Against the mean of the other labels (softmax) or by itself (sigmoid).

    Returns:
        Float32 of shape (n, h, w) at the finest tap's size; its sum over positions is the weighted pooled features.
    """
    column = head.labels.index(label)
    weight = head.weights["weight"]
    own = weight[:, column]
    if contrast and len(head.labels) > 1:
        own = own - (weight.sum(axis=1) - own) / (len(head.labels) - 1)
    finest = max((maps.shape[2:] for maps in table.dense.values()), key=lambda shape: shape[0] * shape[1])
    total = np.zeros((len(table.images), *finest), np.float32)
    divided = np.broadcast_to(strengths(table.pooled, head.config["channels"]), table.pooled.shape)
    start = 0
    for maps in table.dense.values():
        n, c, h, w = maps.shape
        w_mean, w_std, w_max = (own[start + i * c : start + (i + 1) * c] for i in range(3))
        strength = divided[:, start, None]  # one number an image and tap
        start += 3 * c
        flat = np.asarray(maps, np.float32).reshape(n, c, h * w)
        squared = (flat - flat.mean(axis=2, keepdims=True)) ** 2 + 1e-6
        std = np.sqrt(squared.mean(axis=2, keepdims=True))
        part = (np.einsum("ncp,c->np", flat, w_mean) + np.einsum("ncp,c->np", squared / std, w_std)) / (h * w)
        np.add.at(part, (np.arange(n)[:, None], flat.argmax(axis=2)), flat.max(axis=2) * w_max)
        total += spread((part / strength).reshape(n, h, w), *finest)
    return total


def spread(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Lay maps over a finer grid; each position's value is shared out over its area, so that sums stay.

    Args:
        maps: Shape (n, h, w).
        height, width: Of the finer grid; no multiples of h and w are needed.
    """

    def shares(coarse: int, fine: int) -> np.ndarray:
        """How much of each coarse cell lies in each fine one, shape (fine, coarse); columns sum to 1."""
        edges = np.arange(fine + 1) * coarse / fine
        lower = np.maximum(edges[:-1, None], np.arange(coarse))
        upper = np.minimum(edges[1:, None], np.arange(coarse) + 1)
        return np.asarray(np.maximum(upper - lower, 0), np.float32)

    return np.asarray(shares(maps.shape[1], height) @ maps @ shares(maps.shape[2], width).T)
