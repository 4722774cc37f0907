"""The closed forms against scikit-learn and against really leaving rows out."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.heads.ridge import RIDGES, fit_stack


def problem(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, d), one-hot targets (n, 3), truth (n,)."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    x = rng.normal(0, 1, (n, d)) + 2 * np.eye(3, d)[truth]
    return (x * rng.uniform(0.1, 5, d) + 3).astype(np.float32), np.eye(3, dtype=np.float32)[truth], truth


def reference(x: np.ndarray, targets: np.ndarray, scale: np.ndarray, ridge: float, new: np.ndarray) -> np.ndarray:
    """Scores of new rows by scikit-learn, with the features' scale held."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=ridge).fit(x / scale, targets)
    return np.asarray(model.predict(new / scale))


shapes = pytest.mark.parametrize(("n", "d"), [(24, 60), (60, 20)])


@shapes
def test_weights_equal_scikit_learn(n: int, d: int) -> None:
    x, targets, _ = problem(n, d)
    fit = fit_stack(x[None], targets[None], np.arange(n)[None])[0]
    expected = reference(x.astype(float), targets, x.std(axis=0, dtype=float), fit.ridge, x.astype(float))
    assert np.allclose(x @ fit.weights + fit.bias, expected, atol=2e-3)


@shapes
def test_held_out_scores_equal_really_leaving_out(n: int, d: int) -> None:
    x, targets, _ = problem(n, d)
    groups = np.arange(n)
    groups[[3, 4, 5]] = 3  # one group of three near-duplicates
    fit = fit_stack(x[None], targets[None], groups[None])[0]
    scale = x.std(axis=0, dtype=float)
    for group in (0, 3, 9):
        out = groups == group
        expected = reference(x[~out].astype(float), targets[~out], scale, fit.ridge, x[out].astype(float))
        assert np.allclose(fit.held_out[out], expected, atol=5e-3)


def test_the_ridge_with_the_least_held_out_error_is_taken() -> None:
    x, targets, _ = problem(30, 40)
    fit = fit_stack(x[None], targets[None], np.arange(30)[None])[0]
    assert set(fit.errors) == {float(ridge) for ridge in RIDGES}
    assert fit.ridge == min(fit.errors, key=lambda ridge: fit.errors[ridge])


def test_near_duplicates_do_not_flatter() -> None:
    """Labels that are noise, each image five times: left out singly they look learnt, in groups they do not."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(0, 1, (12, 50)), 5, axis=0) + rng.normal(0, 0.01, (60, 50))
    truth = np.repeat(rng.integers(0, 3, 12), 5)
    features, targets = x.astype(np.float32)[None], np.eye(3, dtype=np.float32)[truth][None]
    singly, grouped = (
        float((fit_stack(features, targets, groups[None])[0].held_out.argmax(axis=1) == truth).mean())
        for groups in (np.arange(60), np.repeat(np.arange(12), 5))
    )
    assert singly == 1.0
    assert grouped < 0.7


def test_a_feature_that_never_varies_gets_no_weight() -> None:
    x, targets, _ = problem(30, 40)
    x[:, 7] = 1e4
    fit = fit_stack(x[None], targets[None], np.arange(30)[None])[0]
    assert np.array_equal(fit.weights[7], np.zeros(3, np.float32))
