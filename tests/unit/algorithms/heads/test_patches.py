"""The memory of good patches, and the anomaly head on pictures with a planted fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trunkline.algorithms.heads import patches
from trunkline.algorithms.heads.anomaly import LABELS, Anomaly
from trunkline.algorithms.heads.base import FitJob
from trunkline.core.errors import DataError
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.scenario import OperatingPoint

FAULT = (slice(8, 11), slice(4, 7))


def texture(count: int, seed: int, *, fault: float = 0.0) -> FeatureTable:
    """Two taps of correlated noise; a fault breaks the correlation of two channels, not their range."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, (count, 1, 16, 16))
    fine = common + 0.1 * rng.normal(0, 1, (count, 6, 16, 16))
    fine[(slice(None), slice(0, 2), *FAULT)] += fault * np.array([1, -1])[:, None, None]
    coarse = rng.normal(0, 1, (count, 4, 8, 8))
    dense = {"tap0": fine.astype(np.float32), "tap1": coarse.astype(np.float32)}
    return FeatureTable(tuple(f"{seed}-{i:03d}" for i in range(count)), np.zeros((count, 30), np.float32), "t", dense)


def job(table: FeatureTable, faulty: int = 0, point: OperatingPoint | None = None) -> FitJob:
    count = len(table.images)
    targets = tuple((LABELS[int(i >= count - faulty)],) for i in range(count))
    return FitJob("a", LABELS, table, targets, np.arange(count), point or OperatingPoint())


def joined(a: FeatureTable, b: FeatureTable) -> FeatureTable:
    dense = {tap: np.concatenate([a.dense[tap], b.dense[tap]]) for tap in a.dense}
    return FeatureTable(a.images + b.images, np.concatenate([a.pooled, b.pooled]), "t", dense)


def test_k_centres_cover() -> None:
    points = np.array([[0, 0], [0.1, 0], [10, 0], [10.1, 0], [0, 10], [4, 4]], np.float32)
    assert {tuple(p) for p in points[patches.k_centres(points, 4)].round()} == {(0, 0), (10, 0), (0, 10), (4, 4)}
    assert np.array_equal(patches.k_centres(points, 9), np.arange(6))


def test_resize_keeps_a_ramp() -> None:
    ramp = np.arange(4, dtype=np.float32)[None, None, None].repeat(4, axis=2)
    got = patches.resize(ramp, 8, 8)[0, 0, 3]
    assert np.allclose(got, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_good_images_alone_find_the_fault_and_its_place() -> None:
    head = Anomaly()
    fitted = head.fit([job(texture(30, 1))])[0]
    good, bad = texture(40, 2), texture(40, 3, fault=1.5)
    kept, found = head.predict(fitted.head, good), head.predict(fitted.head, bad)
    assert kept.accepted[:, 0].mean() >= 0.9
    assert found.accepted[:, 1].mean() >= 0.9
    assert found.anomaly is not None
    assert np.array_equal(found.probabilities[:, 1] >= 0.5, found.accepted[:, 1])  # good alone: the cut is at one half
    heat = head.heatmap(fitted.head, bad, "anomaly")
    places = np.unravel_index(heat.reshape(40, -1).argmax(axis=1), (16, 16))
    assert np.mean((abs(places[0] - 9) <= 2) & (abs(places[1] - 5) <= 2)) >= 0.9
    assert np.array_equal(heat, -head.heatmap(fitted.head, bad, "good"))
    assert np.all(heat.max(axis=(1, 2))[found.accepted[:, 1]] > 0)


def test_false_rejects_are_held_on_images_never_seen() -> None:
    fitted = Anomaly().fit([job(texture(60, 1), point=OperatingPoint(false_reject_rate=0.05))])[0]
    scores = Anomaly().predict(fitted.head, texture(200, 2))
    assert 0.0 < scores.accepted[:, 1].mean() < 0.12


def test_labelled_faults_move_the_threshold_and_calibrate() -> None:
    alone = Anomaly().fit([job(texture(30, 1))])[0]
    data = joined(texture(30, 1), texture(10, 4, fault=3.0))
    taught = Anomaly().fit([job(data, faulty=10)])[0]
    assert taught.head.config["cut"] > alone.head.config["cut"]  # half way to faults that are far off
    assert taught.detail["cv_recall"] == 1.0
    assert taught.cv_scores[-10:, 1].min() > 0.5 > taught.cv_scores[:-10, 1].max()


def test_held_out_scores_do_not_know_their_own_patches() -> None:
    """Two pictures of one strange thing: scored without each other they stand out, each with the other's help less."""
    one = texture(1, 5, fault=3.0)
    noise = np.random.default_rng(6).normal(0, 0.01, one.dense["tap0"].shape).astype(np.float32)
    twin = replace(one, dense={**one.dense, "tap0": one.dense["tap0"] + noise})
    dense = joined(joined(texture(20, 1), one), twin).dense
    memory = patches.remember(dense, np.arange(22), seed=0)

    def scores(groups: np.ndarray) -> np.ndarray:
        left_out = [groups[memory.owners] == group for group in groups]
        return patches.image_scores(patches.distance_maps(dense, memory, left_out))

    alone, together = scores(np.arange(22)), scores(np.append(np.arange(20), [20, 20]))
    assert np.array_equal(alone[:20], together[:20])
    assert np.all(together[20:] > 1.2 * alone[20:])


def test_the_bank_is_bounded() -> None:
    wide = texture(40, 1)
    dense = {**wide.dense, "tap1": np.random.default_rng(0).normal(0, 1, (40, 300, 8, 8)).astype(np.float32)}
    weights = Anomaly().fit([job(replace(wide, dense=dense))])[0].head.weights
    assert weights["bank"].shape == (patches.BANK, patches.WIDTH)
    assert weights["bank"].nbytes <= 160 << 10


def test_one_good_image_is_too_few() -> None:
    with pytest.raises(DataError, match="at least 2 good images"):
        Anomaly().fit([job(texture(3, 1), faulty=2)])
