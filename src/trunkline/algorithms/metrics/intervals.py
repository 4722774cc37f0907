"""95 % intervals that stay honest at 0 and 1, where a bootstrap would say "certain"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.metrics.types import Interval

_Z = 1.959963984540054
_DRAWS = 500
UNKNOWN: Interval = (0.0, 1.0)
"""What is known of a share without a single trial."""


def wilson(share: float, trials: float) -> Interval:
    """Score interval of a proportion (Wilson, 1927).

    Args:
        share: Observed, 0..1.
        trials: Number of trials; with none the interval is (0, 1).
    """
    if trials <= 0:
        return UNKNOWN
    z2 = _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * float(np.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)))
    # min and max with the share: rounding must not put the value itself outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def newcombe_paired(both: int, first: int, second: int, neither: int) -> Interval:
    """Score interval of the difference of two proportions that were seen on the same trials, the first less the second.

    Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10. It does not shrink to a point where the two never
    differ, as a bootstrap does.

    Args:
        both: Trials in which both succeed.
        first: Trials in which the first alone succeeds.
        second: Trials in which the second alone does.
        neither: Trials in which neither does.
    """
    n = both + first + second + neither
    if n == 0:
        return -1.0, 1.0
    one, two = (both + first) / n, (both + second) / n
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    agreement = both * neither - first * second
    corrected = max(agreement - n / 2, 0) if agreement >= 0 else agreement
    phi = corrected / margins**0.5 if margins else 0.0

    def reach(a: float, b: float) -> float:
        return float(np.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0)))

    (low_1, high_1), (low_2, high_2) = wilson(one, n), wilson(two, n)
    return one - two - reach(one - low_1, high_2 - two), one - two + reach(high_1 - one, two - low_2)


def mover(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of a mean of independent estimates, from the interval of each (MOVER: Zou and Donner, 2008)."""
    if not values:
        return UNKNOWN
    low = sum((v - i[0]) ** 2 for v, i in zip(values, intervals, strict=True)) ** 0.5
    high = sum((i[1] - v) ** 2 for v, i in zip(values, intervals, strict=True)) ** 0.5
    mean = sum(values) / len(values)
    return max(0.0, mean - low / len(values)), min(1.0, mean + high / len(values))


def auroc_interval(area: float, positives: int, negatives: int) -> Interval:
    """Score interval of the area under a ROC curve (Newcombe 2006, part 2, method 5), found by bisection."""
    if positives == 0 or negatives == 0:
        return UNKNOWN
    star = (positives + negatives) / 2 - 1

    def outside(theta: float) -> bool:
        spread = theta * (1 - theta) * (1 + star * (1 - theta) / (2 - theta) + star * theta / (1 + theta))
        return abs(area - theta) > _Z * float(np.sqrt(spread / (positives * negatives)))

    def edge(inside: float, beyond: float) -> float:
        for _ in range(40):
            middle = (inside + beyond) / 2
            inside, beyond = (inside, middle) if outside(middle) else (middle, beyond)
        return inside

    return min(edge(area, 0.0), area), max(edge(area, 1.0), area)


def f1_draws(true: np.ndarray, false: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Draws from the posterior of F1 (Goutte and Gaussier, 2005; Jeffreys prior), seeded.

    Args:
        true: True positives of k labels.
        false: False positives.
        missed: False negatives.

    Returns:
        Shape (draws, k).
    """
    rng = np.random.default_rng(0)
    hit = 2 * rng.standard_gamma(np.asarray(true, float) + 0.5, (_DRAWS, len(true)))
    return np.asarray(hit / (hit + rng.standard_gamma(np.asarray(false, float) + missed + 1.0, (_DRAWS, len(true)))))


def quantiles(draws: np.ndarray, value: float) -> Interval:
    """The middle 95 % of draws, stretched to hold the value itself."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(min(low, value)), float(max(high, value))


def resampled_weights(strata: np.ndarray) -> np.ndarray:
    """How often each image is drawn in each of 500 stratified bootstrap resamples, seeded.

    Args:
        strata: Class of each of n images; each class keeps its size.

    Returns:
        Float32 of shape (500, n).
    """
    rng = np.random.default_rng(0)
    out = np.empty((_DRAWS, len(strata)), np.float32)
    for stratum in np.unique(strata):
        rows = np.nonzero(strata == stratum)[0]
        size = len(rows)
        flat = rng.integers(0, size, (_DRAWS, size)) + size * np.arange(_DRAWS)[:, None]
        out[:, rows] = np.bincount(flat.ravel(), minlength=_DRAWS * size).reshape(_DRAWS, size)
    return out
