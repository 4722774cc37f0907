"""Intervals against published values and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.metrics.classify import _f1_variance
from trunkline.algorithms.metrics.intervals import (
    auroc_interval,
    f1_interval,
    mean_interval,
    mover,
    newcombe_paired,
    resampled_weights,
    wilson,
)
from trunkline.algorithms.metrics.multilabel import f1_variance


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
    assert (wilson(0.0, 0), mean_interval([], []), mean_interval([1.0, 1.0], [9, 0]), auroc_interval(0.5, 0, 4)) == (
        (0.0, 1.0),
    ) * 4
    assert f1_interval(np.zeros((3, 0), int)) == (0.0, 1.0)


def test_mover_of_one_is_its_own_interval() -> None:
    assert mover([0.9], [(0.8, 0.95)]) == pytest.approx((0.8, 0.95))


def test_a_mean_of_one_is_its_own_interval() -> None:
    assert mean_interval([0.9], [50]) == pytest.approx(wilson(0.9, 50))


RUNS = 120


@pytest.mark.parametrize("recall", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("labels", "positives"), [(4, 12), (10, 10), (10, 40), (10, 300)])
def test_f1_of_labels_covers_the_truth(labels: int, positives: int, recall: float) -> None:
    """Labels apart from each other, as many wrong as missed: the table of decisions/0007-intervals-of-means.md."""
    rng, inside = np.random.default_rng([labels, positives]), 0
    truth = np.arange(4 * positives)[:, None] < positives
    for _ in range(RUNS):
        there = rng.permuted(np.repeat(truth, labels, axis=1), axis=0)
        taken = rng.random(there.shape) < np.where(there, recall, (1 - recall) / 3)
        counts = np.stack([(there & taken).sum(0), (~there & taken).sum(0), (there & ~taken).sum(0)])
        low, high = f1_interval(counts, f1_variance(there, taken))
        inside += low <= recall <= high
    assert inside / RUNS >= 0.9


@pytest.mark.parametrize("accuracy", [0.7, 0.9, 0.97, 0.998])
@pytest.mark.parametrize(("labels", "images"), [(10, 10), (10, 40), (6, 240)])
def test_f1_of_classes_covers_the_truth(labels: int, images: int, accuracy: float) -> None:
    """A mistake is missed by one class and got by another, so that the F1 of classes are not apart."""
    rng, inside = np.random.default_rng([labels, images]), 0
    shares = np.full((labels, labels), (1 - accuracy) / (labels - 1)) + np.eye(labels) * (
        accuracy - (1 - accuracy) / (labels - 1)
    )
    for _ in range(RUNS):
        confusion = rng.multinomial(images, shares)
        true = confusion.diagonal()
        counts = np.stack([true, confusion.sum(axis=0) - true, confusion.sum(axis=1) - true])
        low, high = f1_interval(counts, _f1_variance(confusion, np.zeros(labels)), shared=2)
        inside += low <= accuracy <= high
    assert inside / RUNS >= 0.9


@pytest.mark.parametrize("share", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("count", "trials"), [(4, 12), (10, 10), (10, 40), (40, 20)])
def test_means_of_shares_cover_the_truth(count: int, trials: int, share: float) -> None:
    seen = np.random.default_rng([count, trials]).binomial(trials, share, (400, count)) / trials
    spans = np.array([mean_interval(row.tolist(), [trials] * count) for row in seen])
    assert ((spans[:, 0] <= share) & (share <= spans[:, 1])).mean() >= 0.88


def test_the_variance_of_f1_is_that_of_leaving_images_out() -> None:
    """The jackknife's, which the delta method equals but for terms of higher order; and both ways to write it agree."""
    rng = np.random.default_rng(3)
    truth = np.arange(200) % 4
    answer = np.where(rng.random(200) < 0.8, truth, rng.integers(0, 4, 200))
    there, taken = np.eye(4, dtype=bool)[truth], np.eye(4, dtype=bool)[answer]

    def f1(rows: np.ndarray) -> float:
        sizes = there[rows].sum(axis=0) + taken[rows].sum(axis=0)
        return float((2 * (there & taken)[rows].sum(axis=0) / sizes).mean())

    without = np.array([f1(np.delete(np.arange(200), row)) for row in range(200)])
    measured = f1_variance(there, taken)
    confusion = there.T.astype(int) @ taken
    assert measured == pytest.approx(((without - without.mean()) ** 2).sum(), rel=0.03)
    assert measured == pytest.approx(_f1_variance(confusion, np.zeros(4)))


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
