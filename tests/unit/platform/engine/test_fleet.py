"""A fleet: what each model says does not hang on which others are there, came, went or were swapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.base import FitJob
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.platform.engine import fleet as module
from trunkline.platform.engine.fleet import Fleet, Model, mapped, score

CHANNELS = (4, 4)
WIDTH = 3 * sum(CHANNELS)
TAPS = HEADS.load("anomaly")().dense


@pytest.fixture
def table() -> FeatureTable:
    return features(12, seed=1)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)


def features(count: int, seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    dense = {tap: rng.uniform(0, 1, (count, 4, 4, 4)).astype(np.float32) for tap in TAPS}
    pooled = rng.uniform(0.1, 2, (count, WIDTH)).astype(np.float32)
    return FeatureTable(tuple(map(str, range(count))), pooled, "t", dense)


def linear(seed: int, task: str = "classify", labels: int = 2) -> Model:
    rng = np.random.default_rng(seed)
    names = tuple(f"label{number}" for number in range(labels))
    weights = {
        "weight": rng.normal(0, 2, (WIDTH, labels)).astype(np.float32),
        "bias": rng.normal(0, 1, labels).astype(np.float32),
    }
    trained = TrainedHead(
        task, names, "t", weights, {"channels": list(CHANNELS)}, dict.fromkeys(names, 0.5),
        dict.fromkeys(names, (0.3, 0.7)), {"temperature": 1.0},
    )  # fmt: skip
    return Model(f"bundle{seed}", trained, f"model{seed}")


def anomaly(seed: int) -> Model:
    good = features(20, seed)
    job = FitJob("a", ("good", "anomaly"), good, (("good",),) * 20, np.arange(20), channels=CHANNELS)
    return Model(f"bundle{seed}", HEADS.load("anomaly")().fit([job])[0].head, f"model{seed}")


def mixed() -> dict[str, Model]:
    """Ten linear models of three shapes and two of another task."""
    models = {f"two{seed}": linear(seed) for seed in range(5)}
    models |= {f"three{seed}": linear(10 + seed, labels=3) for seed in range(2)}
    models |= {f"many{seed}": linear(20 + seed, "multilabel") for seed in range(3)}
    return models | {f"odd{seed}": anomaly(30 + seed) for seed in range(2)}


def check(fleet: Fleet, models: Mapping[str, Model], table: FeatureTable) -> None:
    """Every model of the fleet answers as it does alone."""
    answers = fleet.answers(table)
    assert set(answers) == set(fleet) == set(models)
    for key, model in models.items():
        alone = score(model.head, table)
        np.testing.assert_allclose(answers[key].probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_array_equal(answers[key].accepted, alone.accepted)
        np.testing.assert_array_equal(answers[key].unsure, alone.unsure)
        assert fleet[key].bundle == model.bundle


def test_together_as_alone(table: FeatureTable) -> None:
    check(Fleet("t").changed(mixed()), mixed(), table)


def test_one_image_as_many(table: FeatureTable) -> None:
    fleet = Fleet("t").changed(mixed())
    whole, one = fleet.answers(table), fleet.answers(table.take([7]))
    for key in fleet:
        np.testing.assert_allclose(one[key].probabilities[0], whole[key].probabilities[7], atol=1e-5)


def test_models_come_are_swapped_and_go(table: FeatureTable) -> None:
    first = mixed()
    fleet = Fleet("t").changed(first)
    # A new one, one swapped for the same shape, one for another shape and one for another task, two removed.
    change = {"new": linear(50), "two1": linear(51), "two2": linear(52, labels=3), "many0": anomaly(53)}
    later = fleet.changed(change, without=["two0", "odd1", "never there"])
    expected = {key: model for key, model in (first | change).items() if key not in ("two0", "odd1")}
    check(later, expected, table)
    check(fleet, first, table)


def test_what_is_not_touched_is_shared(table: FeatureTable) -> None:
    fleet = Fleet("t").changed(mixed())
    later = fleet.changed({"new": linear(50, labels=3)})
    assert later["two0"] is fleet["two0"]
    assert later["three0"] is not fleet["three0"]


def test_all_gone(table: FeatureTable) -> None:
    empty = Fleet("t").changed(mixed()).changed({}, without=list(mixed()))
    assert (len(empty), len(empty.answers(table)), empty.dense) == (0, 0, ())


def test_only_those_asked_for(table: FeatureTable) -> None:
    fleet = Fleet("t").changed(mixed())
    whole, some = fleet.answers(table), fleet.answers(table, ["two4", "two0", "odd1"])
    assert set(some) == {"two0", "two4", "odd1"}
    for key in some:
        np.testing.assert_allclose(some[key].probabilities, whole[key].probabilities, atol=1e-5)


def test_maps_that_are_needed() -> None:
    assert Fleet("t").changed({"a": linear(0)}).dense == ()
    assert Fleet("t").changed({"a": linear(0), "b": anomaly(1)}).dense == tuple(sorted(TAPS))


def test_of_another_trunk(table: FeatureTable) -> None:
    with pytest.raises(ValueError, match="expected models of trunk u"):
        Fleet("u").changed({"a": linear(0)})
    with pytest.raises(ValueError, match="expected features of trunk u"):
        Fleet("u").answers(table)


def test_large_blocks_are_mapped_from_files_that_leave_nothing(
    table: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGE", 3)
    models = {f"m{seed}": linear(seed) for seed in range(3)}
    fleet = Fleet("t", folder=tmp_path / "engine").changed(models)
    assert isinstance(fleet["m0"].head.weights["weight"], np.memmap)
    assert list((tmp_path / "engine").iterdir()) == []
    check(fleet, models, table)
    fleet = fleet.changed({"m1": linear(7), "m3": linear(8)}, without=["m0"])
    check(fleet, {"m1": linear(7), "m2": models["m2"], "m3": linear(8)}, table)


def test_where_nothing_can_be_written_heads_are_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    array = mapped((2, 3), folder=tmp_path / "file")
    assert (type(array), array.shape, array.dtype) == (np.ndarray, (2, 3), np.float32)
