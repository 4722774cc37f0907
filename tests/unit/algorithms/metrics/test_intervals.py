"""Intervals against published values and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.metrics.intervals import auroc_interval, mover, newcombe_paired, resampled_weights, wilson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_equals_published_values(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits / trials, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10
        ((100, 0, 0, 0), -0.0370, 0.0370),  # never apart and never wrong: no further apart than one Wilson interval
        ((0, 0, 0, 0), -1.0, 1.0),
    ],
)
def test_newcombe_of_pairs(pairs: tuple[int, int, int, int], low: float, high: float) -> None:
    both, first, second, neither = pairs
    assert newcombe_paired(*pairs) == pytest.approx((low, high), abs=1e-4)
    assert newcombe_paired(both, second, first, neither) == pytest.approx((-high, -low), abs=1e-4)


def test_nothing_is_known_without_a_trial() -> None:
    assert (wilson(0.0, 0), mover([], []), auroc_interval(0.5, 0, 4)) == ((0.0, 1.0),) * 3


def test_mover_of_one_is_its_own_interval() -> None:
    assert mover([0.9], [(0.8, 0.95)]) == pytest.approx((0.8, 0.95))


def test_auroc_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth, inside = 0.8413, 0  # of normals 1.414 apart
    for _ in range(300):
        bad, good = rng.normal(2**0.5, 1, 20), rng.normal(0, 1, 30)
        low, high = auroc_interval(float((bad[:, None] > good).mean()), 20, 30)
        inside += low <= truth <= high
    assert 0.91 <= inside / 300 <= 0.99


def test_resamples_keep_the_size_of_each_stratum() -> None:
    strata = np.array([0, 1, 1, 2, 2, 2])
    weights = resampled_weights(strata)
    sizes = np.stack([weights[:, strata == s].sum(axis=1) for s in range(3)], axis=1)
    assert np.array_equal(sizes, np.tile([1.0, 2.0, 3.0], (500, 1)))
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)
