"""95 % intervals that stay honest at 0 and 1, where a bootstrap would say "certain"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.metrics.types import Interval

_Z = 1.959963984540054
_DRAWS = 500
_TRUST = 20  # mistakes with which a measured design effect counts as much as the expected one
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
    """Interval of the mean of two independent estimates, from the interval of each (MOVER: Zou and Donner, 2008).

    For more of them it covers too little where they are near 1; `mean_interval` is for those.
    """
    low = sum((v - i[0]) ** 2 for v, i in zip(values, intervals, strict=True)) ** 0.5
    high = sum((i[1] - v) ** 2 for v, i in zip(values, intervals, strict=True)) ** 0.5
    mean = sum(values) / len(values)
    return max(0.0, mean - low / len(values)), min(1.0, mean + high / len(values))


def mean_interval(shares: Sequence[float], trials: Sequence[int]) -> Interval:
    """Score interval of the mean of independent shares: Wilson's, with the trials that the mean is worth.

    Args:
        shares: Each 0..1.
        trials: Of each.
    """
    if not len(shares) or not all(trials):
        return UNKNOWN
    p, n = np.asarray(shares, np.float64), np.asarray(trials, np.float64)
    variance = float((p * (1 - p) / n).sum()) / len(p) ** 2
    return _worth(float(p.mean()), len(p) ** 2 / float((1 / n).sum()), variance, float(((1 - p) * n).sum()), 1)


def _worth(mean: float, trials: float, variance: float, mistakes: float, expected: int) -> Interval:
    """Wilson's interval of a mean, its trials divided by the design effect.

    The design effect is the variance of the mean over that of a share of as many trials (Korn and Graubard, Survey
    Methodology 24, 1998). Few mistakes measure it badly and none not at all, so it is drawn to what is expected;
    docs/decisions/0007-intervals-of-means.md has the coverage.

    Args:
        mean: 0..1.
        trials: What it would be worth if all that it is the mean of were alike and apart from each other.
        variance: Of the mean, as measured.
        mistakes: Images that were answered wrongly.
        expected: Design effect before the first mistake is seen.
    """
    effect = float(expected)
    if 0 < mean < 1:
        measured = variance * trials / (mean * (1 - mean))
        effect = (mistakes * measured + _TRUST * expected) / (mistakes + _TRUST)
    return wilson(mean, trials / effect)


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


def f1_interval(counts: np.ndarray, variance: float | None = None, *, shared: int = 1) -> Interval:
    """Score interval of the mean F1 of k labels: Wilson's, with the trials that the mean is worth.

    Labels of the same F1 and apart from each other are worth 2 k^2 / ((2 - F1)^2 sum(1 / n)) trials, n being the images
    that have a label or get it (delta method on tp / n, of which F1 is a function).

    Args:
        counts: True positives, false positives and false negatives of k labels, shape (3, k); no label without any.
        variance: Of the mean, by the delta method with images as units (Takahashi et al., Applied Intelligence 52,
            2022); None for one label by itself, where it is the one above.
        shared: In how many labels a mistake counts: 2 where an image has one label, as it misses one and gets another.
    """
    true, sizes = counts[0], counts.sum(axis=0)
    if not len(true):
        return UNKNOWN
    mean = float(np.mean(2 * true / (true + sizes)))
    trials = 2 * len(true) ** 2 / ((2 - mean) ** 2 * float((1 / sizes).sum()))
    if variance is None:
        return wilson(mean, trials)
    return _worth(mean, trials, variance, float((sizes - true).sum()) / shared, shared)


def quantiles(draws: np.ndarray, value: float) -> Interval:
    """The middle 95 % of draws, stretched to hold the value itself."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(min(low, value)), float(max(high, value))


def resampled_weights(strata: np.ndarray, draws: int = _DRAWS, seed: int = 0) -> np.ndarray:
    """How often each image is drawn in each of some stratified bootstrap resamples, seeded.

    Args:
        strata: Class of each of n images; each class keeps its size.
        draws: Number of resamples.
        seed: Of the random numbers.

    Returns:
        Float32 of shape (draws, n).
    """
    rng = np.random.default_rng(seed)
    out = np.empty((draws, len(strata)), np.float32)
    for stratum in np.unique(strata):
        rows = np.nonzero(strata == stratum)[0]
        size = len(rows)
        flat = rng.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
        out[:, rows] = np.bincount(flat.ravel(), minlength=draws * size).reshape(draws, size)
    return out
