"""Calibration, contrast and the explanation by place."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.heads import linear
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead

CHANNELS = (4, 6)


def pooled_of(dense: dict[str, np.ndarray]) -> np.ndarray:
    parts = [np.concatenate([m.mean((2, 3)), np.sqrt(m.var((2, 3)) + 1e-6), m.max((2, 3))], 1) for m in dense.values()]
    return np.concatenate(parts, axis=1).astype(np.float32)


def maps(seed: int = 0, n: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sides = {"tap0": (4, 6), "tap1": (6, 4)}  # channels, side; 6 is no multiple of 4
    return {tap: rng.normal(0.5, 1, (n, c, side, side)).astype(np.float32) for tap, (c, side) in sides.items()}


def head_on(table: FeatureTable, channels: tuple[int, ...], k: int = 3) -> TrainedHead:
    rng = np.random.default_rng(1)
    weights = {"weight": rng.normal(0, 1, (table.pooled.shape[1], k)).astype(np.float32), "bias": np.zeros(k)}
    config = {"channels": list(channels)}
    return TrainedHead("classify", tuple("abc"[:k]), table.trunk, weights, config, calibration={"temperature": 1.0})


@pytest.mark.parametrize("channels", [CHANNELS, ()])
@pytest.mark.parametrize("contrast", [False, True])
def test_heat_map_adds_up_to_the_logit(channels: tuple[int, ...], contrast: bool) -> None:
    dense = maps()
    table = FeatureTable(tuple("abcde"), pooled_of(dense), "t", dense)
    head = head_on(table, channels)
    logits = linear.logits_of(head, table)
    expected = logits[:, 1] - (logits[:, 0] + logits[:, 2]) / 2 if contrast else logits[:, 1]
    heat = linear.linear_heatmap(head, table, "b", contrast=contrast)
    assert heat.shape == (5, 6, 6)
    assert np.allclose(heat.sum(axis=(1, 2)), expected, atol=1e-3)


def test_the_mean_part_stands_where_the_map_is() -> None:
    dense = maps()
    table = FeatureTable(tuple("abcde"), pooled_of(dense), "t", dense)
    head = head_on(table, CHANNELS)
    weight = np.zeros_like(head.weights["weight"])
    weight[0, 1] = 2.0  # the mean of the first channel of the finest tap
    head = TrainedHead("classify", head.labels, "t", {**head.weights, "weight": weight}, head.config)
    heat = linear.linear_heatmap(head, table, "b", contrast=False)
    strength = np.linalg.norm(table.pooled[:, 4:8], axis=1)[:, None, None]
    assert np.allclose(heat, 2 * dense["tap0"][:, 0] / 36 / strength, atol=1e-6)


def test_spread_keeps_sums_and_places() -> None:
    grid = np.array([[[1.0, 0.0], [0.0, 0.0]]], np.float32)
    assert np.allclose(linear.spread(grid, 4, 4)[0, :2, :2], 0.25)
    assert linear.spread(grid, 3, 5).sum() == pytest.approx(1.0)
    assert np.array_equal(linear.spread(grid, 2, 2), grid)


def test_contrast_does_not_change_features() -> None:
    """Half the contrast: maps, and so mean, std and max, are halved; the features are the same."""
    dense = maps()
    faint = {tap: 0.5 * m for tap, m in dense.items()}
    full, half = (linear.without_contrast(pooled_of(d), CHANNELS) for d in (dense, faint))
    assert np.allclose(full, half, atol=1e-4)


def test_black_pictures_give_finite_features() -> None:
    black = np.zeros((2, 30), np.float32)
    assert np.all(np.isfinite(linear.without_contrast(black, CHANNELS)))
    assert np.all(np.isfinite(linear.without_contrast(black, ())))


def log_loss(p: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(p)), truth]).mean())


def test_softmax_calibration_finds_the_temperature_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.3, (4000, 3))
    p = linear.softmax(scores / 0.2 + np.array([0.5, 0.0, -0.5]))
    truth = (rng.random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    warmth, bias = linear.calibrate_softmax(scores, np.eye(3)[truth])
    assert warmth == pytest.approx(0.2, rel=0.1)
    assert bias - bias.mean() == pytest.approx([0.5, 0.0, -0.5], abs=0.12)
    assert log_loss(linear.softmax(scores / warmth + bias), truth) <= log_loss(p, truth) + 1e-3


@pytest.mark.parametrize("count", [12, 60, 600])
def test_answers_that_are_all_right_are_not_made_certain(count: int) -> None:
    truth = np.arange(count) % 3
    margins = np.random.default_rng(0).uniform(0.5, 1.5, (count, 1))
    logits = 40 * margins * np.eye(3)[truth]
    p = linear.softmax(linear.temper(logits, np.eye(3)[truth]) * logits).max(axis=1)
    assert 0.05 / count < (1 - p).mean() < 1 / count


def test_logits_that_say_what_is_so_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    truth = (rng.random((4000, 1)) > linear.softmax(logits).cumsum(axis=1)).sum(axis=1)
    assert linear.temper(logits, np.eye(3)[truth]) == pytest.approx(1.0, rel=0.05)
    assert linear.temper(5 * logits, np.eye(3)[truth]) == pytest.approx(0.2, rel=0.05)


def test_sigmoid_calibration_equals_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    scores = rng.normal(0.3, 0.4, 3000)
    has = rng.random(3000) < linear.sigmoid(6 * scores - 2)
    slope, offset = linear.calibrate_sigmoid(scores, has)
    model = LogisticRegression(C=1e6).fit(scores[:, None], has)
    assert (slope, offset) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), rel=0.03)


@pytest.mark.parametrize("has", [np.zeros(6, bool), np.ones(6, bool)])
def test_calibration_of_a_label_that_all_or_none_have(has: np.ndarray) -> None:
    slope, offset = linear.calibrate_sigmoid(np.linspace(0, 1, 6), has)
    p = linear.sigmoid(slope * np.linspace(0, 1, 6) + offset)
    assert np.all((p > 0.5) == has)
