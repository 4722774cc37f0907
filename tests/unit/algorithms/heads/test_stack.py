"""A head in a stack says what it says alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.linear import without_contrast
from trunkline.algorithms.heads.stack import Stack, is_linear
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead

CHANNELS = (4, 6)
WIDTH = 3 * sum(CHANNELS)


def head(task: str, seed: int, labels: int = 3) -> TrainedHead:
    rng = np.random.default_rng(seed)
    names = tuple(f"label{number}" for number in range(labels))
    bounds = np.sort(rng.uniform(0.2, 0.8, (labels, 2)), axis=1)
    return TrainedHead(
        task=task,
        labels=names,
        trunk="t",
        weights={
            "weight": rng.normal(0, 3, (WIDTH, labels)).astype(np.float32),
            "bias": rng.normal(0, 1, labels).astype(np.float32),
        },
        config={"channels": list(CHANNELS)},
        thresholds={name: float(high) for name, (_, high) in zip(names, bounds, strict=True)},
        unsure={name: (float(low), float(high)) for name, (low, high) in zip(names, bounds, strict=True)},
        calibration={"temperature": 0.5 + seed},
    )


@pytest.fixture
def table() -> FeatureTable:
    pooled = np.random.default_rng(0).uniform(0.1, 2, (40, WIDTH)).astype(np.float32)
    return FeatureTable(tuple(map(str, range(40))), pooled, "t")


@pytest.mark.parametrize("task", ["classify", "multilabel"])
@pytest.mark.parametrize("only", [None, [1, 2, 3], [4, 0]])
def test_stacked_and_alone_agree(task: str, only: list[int] | None, table: FeatureTable) -> None:
    heads = [head(task, seed) for seed in range(5)]
    kind = HEADS.load(task)()
    stack = Stack.of(kind, heads)
    places = only or list(range(5))
    scores = (stack.take(only) if only else stack).answers(without_contrast(table.pooled, CHANNELS))
    for at, place in enumerate(places):
        alone = kind.predict(heads[place], table)
        np.testing.assert_allclose(scores.probabilities[:, at], alone.probabilities, atol=1e-5)
        np.testing.assert_array_equal(scores.accepted[:, at], alone.accepted)
        np.testing.assert_array_equal(scores.unsure[:, at], alone.unsure)
    assert scores.unsure.any()
    assert not scores.unsure.all()


def test_a_thinned_head_holds_no_weights_of_its_own_and_answers_alike(table: FeatureTable) -> None:
    heads = [head("classify", seed) for seed in range(3)]
    kind = HEADS.load("classify")()
    stack = Stack.of(kind, heads)
    thin = stack.thin(2, heads[2])
    assert np.shares_memory(thin.weights["weight"], stack.weight)
    np.testing.assert_allclose(
        kind.predict(thin, table).probabilities, kind.predict(heads[2], table).probabilities, atol=1e-5
    )


@pytest.mark.parametrize(
    "other", [head("classify", 1, labels=4), replace(head("classify", 1), config={"channels": [10]})]
)
def test_heads_of_different_shapes_are_not_stacked(other: TrainedHead) -> None:
    with pytest.raises(ValueError, match="of one shape"):
        Stack.of(HEADS.load("classify")(), [head("classify", 0), other])


@pytest.mark.parametrize(("task", "linear"), [("classify", True), ("multilabel", True), ("anomaly", False)])
def test_which_tasks_are_stacked(task: str, linear: bool) -> None:
    assert is_linear(HEADS.load(task)()) is linear


def test_of_equal_scores_the_first_label_is_accepted(table: FeatureTable) -> None:
    even = head("classify", 0)
    zeros = {name: np.zeros_like(array) for name, array in even.weights.items()}
    even = replace(even, weights=zeros, unsure=dict.fromkeys(even.labels, (0.0, 0.3)))
    scores = Stack.of(HEADS.load("classify")(), [even, head("classify", 1)]).answers(table.pooled)
    assert scores.accepted[:, 0].tolist() == [[True, False, False]] * 40
    assert not scores.unsure[:, 0].any()
