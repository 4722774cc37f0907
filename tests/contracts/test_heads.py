"""What every head must do. A plugin's author adds the head to `EXAMPLES` and runs this file.

The features are made up: three taps whose maps carry a pattern for each label, pooled as trunks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.base import FitJob, Fitted, Head, Scores, check, one_hot
from trunkline.core.types.dataset import Box
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import OperatingPoint

TAPS = {"tap0": (6, 8), "tap1": (8, 4), "tap2": (10, 2)}
"""Channels and side of each tap."""
TRUNK = "0" * 64
SIDE = 16
"""Of the pictures that the taps are of."""
PLAN = {
    "side": SIDE, "finest": 2, "width": 16, "depth": 1, "kernel": 3, "views": 1, "epochs": 14, "batch": 8,
    "rate": 0.02, "overlap": 0.5, "soft": 0.0,
}  # fmt: skip
EXAMPLES = {
    "classify": ("crack", "dent", "scratch"),
    "multilabel": ("crack", "dent", "scratch"),
    "anomaly": ("good", "anomaly"),
    "detect": ("crack", "dent", "scratch"),
    "toy": ("crack", "dent", "scratch"),
}
"""Labels that each head is tried on."""


class ToyHead:
    """The nearest mean: the smallest head there can be, added by one line of the table."""

    task = "toy"
    dense: tuple[str, ...] = ()

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        return [self._fit(job) for job in jobs]

    def _fit(self, job: FitJob) -> Fitted:
        targets = one_hot(job.targets, job.labels)
        means = (targets.T @ job.table.pooled) / np.maximum(targets.sum(axis=0), 1)[:, None]
        head = TrainedHead(self.task, job.labels, job.table.trunk, {"means": means.astype(np.float32)})
        return Fitted(head, self.predict(head, job.table).probabilities)

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        far = np.linalg.norm(table.pooled[:, None] - head.weights["means"], axis=2)
        near = np.exp(-far) / np.exp(-far).sum(axis=1, keepdims=True)
        return Scores(near, near >= near.max(axis=1, keepdims=True), np.zeros(len(near), bool))

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        return np.zeros((len(table.images), 8, 8), np.float32)


@pytest.fixture(autouse=True)
def _toy_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS.targets, "toy", f"{__name__}:ToyHead")


def make_table(labels: Sequence[str], truth: np.ndarray, seed: int) -> FeatureTable:
    """Features of images whose labels are the True columns of `truth`, shape (n, k)."""
    rng = np.random.default_rng(seed)
    dense = {}
    for number, (tap, (channels, side)) in enumerate(TAPS.items()):
        maps = rng.normal(1, 0.3, (len(truth), channels, side, side))
        for column, label in enumerate(labels):
            if label != "good":
                corner = slice(0, max(1, side // 2))
                maps[truth[:, column], (column + number) % channels, corner, corner] += 2.5
        dense[tap] = maps.astype(np.float32)
    pooled = [
        np.concatenate([m.mean((2, 3)), np.sqrt(m.var((2, 3)) + 1e-6), m.max((2, 3))], axis=1) for m in dense.values()
    ]
    names = tuple(f"{seed:02d}{row:062d}" for row in range(len(truth)))
    return FeatureTable(names, np.concatenate(pooled, axis=1), TRUNK, dense)


def example(task: str, *, count: int = 48, seed: int = 1, **changes: Any) -> tuple[FitJob, FeatureTable, np.ndarray]:
    """A job, features of other images, and their truth, shape (n, k)."""
    labels = EXAMPLES[task]
    draws = [np.random.default_rng(s).permutation(np.arange(count) % len(labels)) for s in (seed, seed + 50)]
    truths = [np.eye(len(labels), dtype=bool)[draw] for draw in draws]
    if task == "multilabel":
        truths = [t | np.roll(t, 1, axis=1) & (np.arange(count) % 2 == 0)[:, None] for t in truths]
    table, other = (make_table(labels, t, s) for t, s in zip(truths, (seed, seed + 50), strict=True))
    targets = tuple(tuple(label for label, has in zip(labels, row, strict=True) if has) for row in truths[0])
    job = FitJob(task, labels, table, targets, np.arange(count), channels=tuple(c for c, _ in TAPS.values()), seed=3)
    if task == "detect":  # the pattern is in one corner
        boxes = tuple(tuple(Box(label, 0.0, 0.0, 0.5, 0.5) for label in target) for target in targets)
        job = replace(job, strides=tuple(SIDE // side for _, side in TAPS.values()), boxes=boxes, plan=PLAN)
    return replace(job, **changes), other, truths[1]


def head_of(task: str) -> Head:
    made: Head = HEADS.load(task)()
    return made


def arrays(scores: Scores) -> list[np.ndarray]:
    raw = [] if scores.anomaly is None else [scores.anomaly]
    return [scores.probabilities, scores.accepted, scores.unsure, *raw]


tasks = pytest.mark.parametrize("task", EXAMPLES)


def test_every_head_in_the_table_is_tried() -> None:
    assert set(HEADS.names()) == set(EXAMPLES)


@tasks
def test_is_named_as_in_the_table(task: str) -> None:
    head = head_of(task)
    assert head.task == task
    assert set(head.dense) <= set(TAPS)


@tasks
def test_learns_what_can_be_learnt(task: str) -> None:
    job, other, truth = example(task)
    fitted = head_of(task).fit([job])[0]
    scores = head_of(task).predict(fitted.head, other)
    assert scores.probabilities.shape == scores.accepted.shape == truth.shape
    assert scores.unsure.shape == (len(truth),)
    assert (scores.accepted.dtype, scores.unsure.dtype) == (np.bool_, np.bool_)
    assert ((scores.probabilities > 0.5) == truth).mean() > 0.9


@tasks
def test_probabilities_are_probabilities(task: str) -> None:
    job, other, _ = example(task)
    fitted = head_of(task).fit([job])[0]
    held_out = fitted.cv_scores[~np.isnan(fitted.cv_scores).any(axis=1)]
    assert len(held_out) >= min(8, len(job.targets))
    for p in (held_out, head_of(task).predict(fitted.head, other).probabilities):
        assert np.all(np.isfinite(p))
        assert p.min() >= 0
        assert p.max() <= 1
        if task not in ("multilabel", "detect"):
            assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    assert fitted.cv_scores.shape == (len(job.targets), len(job.labels))


@tasks
def test_rows_do_not_see_each_other(task: str) -> None:
    job, other, _ = example(task)
    head = head_of(task)
    trained = head.fit([job])[0].head
    order = np.random.default_rng(0).permutation(len(other.images))
    whole, shuffled = head.predict(trained, other), head.predict(trained, other.take(order.tolist()))
    alone = head.predict(trained, other.take([5]))
    for all_, permuted, one in zip(arrays(whole), arrays(shuffled), arrays(alone), strict=True):
        assert np.allclose(all_[order], permuted, rtol=1e-4, atol=1e-5)
        assert np.allclose(all_[5], one[0], rtol=1e-4, atol=1e-5)


@tasks
def test_alone_or_among_many_gives_the_same(task: str) -> None:
    jobs = [example(task, count=count, seed=seed)[0] for count, seed in ((48, 1), (36, 2), (48, 3))]
    other = example(task)[1]
    head = head_of(task)
    for job, together in zip(jobs, head.fit(jobs), strict=True):
        alone = head.fit([job])[0]
        assert np.allclose(alone.cv_scores, together.cv_scores, atol=2e-3, equal_nan=True)
        pairs = (head.predict(fitted.head, other).probabilities for fitted in (alone, together))
        assert np.allclose(*pairs, atol=2e-3)


@tasks
def test_the_same_job_gives_the_same_bytes(task: str) -> None:
    job = example(task)[0]
    first, second = (head_of(task).fit([job])[0].head.digest() for _ in range(2))
    assert first == second


@tasks
def test_order_of_training_rows_does_not_matter(task: str) -> None:
    job, other, _ = example(task)
    order = np.random.default_rng(0).permutation(len(job.targets)).tolist()
    turned = replace(
        job, table=job.table.take(order), targets=tuple(job.targets[i] for i in order), groups=job.groups[order],
        boxes=tuple(job.boxes[i] for i in order if job.boxes),
    )  # fmt: skip
    head = head_of(task)
    pairs = (head.predict(head.fit([j])[0].head, other).probabilities for j in (job, turned))
    assert np.allclose(*pairs, atol=2e-3)


@tasks
def test_survives_safetensors(task: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from trunkline.core.digest import canonical_json

    job, other, _ = example(task)
    head = head_of(task)
    trained = head.fit([job])[0].head
    canonical_json(trained.meta())
    save_file({k: np.ascontiguousarray(v) for k, v in trained.weights.items()}, tmp_path / "head.safetensors")
    back = replace(trained, weights=load_file(tmp_path / "head.safetensors"))
    assert back.digest() == trained.digest()
    for before, after in zip(arrays(head.predict(trained, other)), arrays(head.predict(back, other)), strict=True):
        assert np.array_equal(before, after)


@tasks
def test_a_head_of_a_wrong_shape_is_told(task: str) -> None:
    job, _, _ = example(task)
    kind = head_of(task)
    trained = kind.fit([job])[0].head
    check(kind, trained, TAPS)
    first = sorted(trained.weights)[0]
    for wrong in ({}, {**trained.weights, first: np.zeros((5, 7), np.float32)}):
        with pytest.raises(ValueError, match=f"expected a {task} head of {len(job.labels)} labels on taps of"):
            check(kind, replace(trained, weights=wrong), TAPS)
    with pytest.raises(ValueError, match="expected a"):
        check(kind, trained, {tap: (count + 1, side) for tap, (count, side) in TAPS.items()})


WRONG: dict[str, dict[str, Any]] = {
    "temperature of 0": {"calibration": {"temperature": 0.0, "slope": 0.0, "offset": 0.0}},
    "temperature below 0": {"calibration": {"temperature": -1.0, "slope": -1.0, "offset": 0.0}},
    "temperature of nearly 0": {"calibration": {"temperature": 1e-300, "slope": 1e-300, "offset": 0.0}},
    "temperature without end": {"calibration": {"temperature": 1e308, "slope": 1e308, "offset": 0.0}},
    "threshold above 1": {"thresholds": {"crack": 1.5, "dent": 0.5, "scratch": 0.5, "good": 0.5, "anomaly": 0.5}},
    "threshold of one label": {"thresholds": {"dent": 0.5}},
    "unsure of one label": {"unsure": {"dent": (0.0, 0.5)}},
    "unsure below 0": {"unsure": dict.fromkeys(("crack", "dent", "scratch"), (-1e9, 0.5))},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", WRONG)
@tasks
def test_a_head_of_numbers_that_no_fit_gives_is_told(task: str, case: str) -> None:
    job, _, _ = example(task)
    kind = head_of(task)
    trained = kind.fit([job])[0].head
    with pytest.raises(ValueError, match="expected a "):
        check(kind, replace(trained, **WRONG[case]), TAPS)
    huge = {name: np.full(array.shape, 3e38, np.float32) for name, array in trained.weights.items()}
    with pytest.raises(ValueError, match="expected weights of at most"):
        check(kind, replace(trained, weights=huge), TAPS)


@tasks
def test_heat_maps_are_finite_pictures(task: str) -> None:
    job, other, _ = example(task)
    head = head_of(task)
    trained = head.fit([job])[0].head
    for label in job.labels:
        maps = head.heatmap(trained, other, label)
        assert maps.shape == (len(other.images), 8, 8)
        assert maps.dtype == np.float32
        assert np.all(np.isfinite(maps))


@tasks
@pytest.mark.parametrize("point", [
    OperatingPoint(), OperatingPoint(false_reject_rate=0.1), OperatingPoint(false_accept_rate=0.1),
    OperatingPoint(recall=0.9), OperatingPoint(precision=0.9),
])  # fmt: skip
def test_takes_every_operating_point(task: str, point: OperatingPoint) -> None:
    job, other, _ = example(task, operating_point=point)
    fitted = head_of(task).fit([job])[0]
    assert np.all(np.isfinite(head_of(task).predict(fitted.head, other).probabilities))
    assert all(0 <= value <= 1 for value in fitted.head.thresholds.values())
    assert all(0 <= low <= high <= 1 for low, high in fitted.head.unsure.values())


@tasks
def test_bears_poor_data(task: str) -> None:
    job, other, _ = example(task, count=6)
    flat = job.table.pooled.copy()
    flat[:, ::2] = 1.0  # features that never vary
    poor = replace(job, table=replace(job.table, pooled=flat), groups=np.array([0, 0, 1, 2, 3, 4]))
    fitted = head_of(task).fit([poor])[0]
    assert np.all(np.isfinite(fitted.cv_scores))  # there are too few to hold some out
    assert np.all(np.isfinite(head_of(task).predict(fitted.head, other).probabilities))
