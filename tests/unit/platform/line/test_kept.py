"""What stations keep survives being kept; what was spoilt is dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from trunkline.algorithms.heads.base import Fitted
from trunkline.algorithms.heads.classify import Classify
from trunkline.core.digest import canonical_json
from trunkline.core.types.head import TrainedHead
from trunkline.platform.line.kept import (
    add_images,
    fitted_of,
    image_seconds,
    inspected_of,
    pack_fitted,
    unpack_fitted,
)
from trunkline.platform.line.stations import StationStore

KEY, TAPS = "a" * 64, {"tap0": (4, 8)}


def make(rows: int = 5) -> Fitted:
    rng = np.random.default_rng(0)
    head = TrainedHead(
        task="classify",
        labels=("crack", "划痕"),
        trunk="0" * 64,
        weights={"weight": rng.normal(size=(12, 2)).astype(np.float32), "bias": np.ones(2, np.float16)},
        config={"rung": "linear", "channels": [4]},
        thresholds={"crack": 0.5, "划痕": 0.6},
        unsure={"crack": (0.0, 0.5), "划痕": (0.1, 0.6)},
        calibration={"temperature": 1.25},
    )
    return Fitted(head, rng.random((rows, 2)).astype(np.float32), {"cv_accuracy": 0.9})


def test_what_is_packed_is_unpacked() -> None:
    fitted = make()
    files = pack_fitted(fitted, 1.5)
    again, cpu_seconds = unpack_fitted(files)
    assert again.head.digest() == fitted.head.digest()
    assert again.head.unsure == fitted.head.unsure
    assert np.array_equal(again.cv_scores, fitted.cv_scores)
    assert again.detail == fitted.detail
    assert pack_fitted(again, cpu_seconds) == files


def changed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    return {**files, "fitted.json": canonical_json({**json.loads(files["fitted.json"]), **changes})}


def with_weights(files: dict[str, bytes], **changes: np.ndarray) -> dict[str, bytes]:
    return {**files, "fitted.safetensors": save({**load(files["fitted.safetensors"]), **changes})}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: {},
        lambda files: {"fitted.json": files["fitted.json"]},
        lambda files: {**files, "fitted.safetensors": b""},
        lambda files: {**files, "fitted.safetensors": files["fitted.safetensors"][:-1]},
        lambda files: {**files, "fitted.json": files["fitted.json"][:-1]},
        lambda files: {**files, "fitted.json": b"[]"},
        lambda files: {**files, "fitted.json": b"null"},
        lambda files: changed(files, head=None),
        lambda files: changed(files, head={"task": "classify", "labels": []}),
        lambda files: changed(files, detail=None),
        lambda files: changed(files, cpu_seconds="much"),
        lambda files: changed(files, cpu_seconds=-1.0),
        lambda files: changed(files, cpu_seconds=10**400),
        lambda files: {**files, "fitted.json": files["fitted.json"].replace(b"2.0", b"NaN")},
        lambda files: with_weights(files, cv_scores=np.zeros((4, 2))),
        lambda files: with_weights(files, **{"weight.weight": np.zeros((9, 2), np.float32)}),
        lambda files: with_weights(files, **{"weight.bias": np.full(2, np.nan, np.float32)}),
    ],
)
def test_a_head_that_is_spoilt_is_dropped(home: Path, spoil: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    stations, whole = StationStore(home), make()
    asked: dict[str, Any] = {"kind": Classify(), "labels": whole.head.labels, "taps": TAPS, "rows": 5}
    stations.put("fit", KEY, spoil(pack_fitted(whole, 2.0)))
    assert (fitted_of(stations, KEY, **asked), stations.folder("fit", KEY).exists()) == (None, False)
    stations.put("fit", KEY, pack_fitted(whole, 2.0))
    found = fitted_of(stations, KEY, **asked)
    assert found is not None
    assert (found[0].head.digest(), found[1]) == (whole.head.digest(), 2.0)


FOUND = {"splits": ["train", "test"], "groups": [0, 1], "cpu_seconds": 1.5, "findings": [
    {"kind": "x", "severity": "info", "message": "m", "images": [], "names": [], "detail": {}}
]}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {**FOUND, "splits": ["train"]},
        {**FOUND, "splits": ["train", "dev"]},
        {**FOUND, "groups": ["a", "b"]},
        {**FOUND, "groups": 5},
        {**FOUND, "findings": [{"kind": "x"}]},
        {**FOUND, "findings": None},
        {**FOUND, "cpu_seconds": "much"},
        {**FOUND, "cpu_seconds": -1e9},
        {**FOUND, "cpu_seconds": 10**400},
        {**FOUND, "groups": [0, 10**30]},
        {**FOUND, "groups": [0, 2]},
        {**FOUND, "groups": [0, -1]},
    ],
)
def test_an_inspection_of_another_shape_is_dropped(home: Path, wrong: Any) -> None:
    stations = StationStore(home)
    assert inspected_of(stations, KEY, images=2) is None
    stations.put_json("inspect", KEY, wrong)
    assert inspected_of(stations, KEY, images=2) is None
    stations.put_json("inspect", KEY, FOUND)
    assert inspected_of(stations, KEY, images=2) == FOUND


def test_what_an_image_costs_is_remembered(home: Path) -> None:
    stations = StationStore(home)
    assert image_seconds(stations, "embed", KEY) == 0
    add_images(stations, "embed", KEY, 3.0, 10)
    add_images(stations, "embed", KEY, 1.0, 10)
    assert (image_seconds(stations, "embed", KEY), image_seconds(stations, "intake", KEY)) == (pytest.approx(0.2), 0)


@pytest.mark.parametrize(
    "kept",
    [
        b'{"cpu_seconds": []}',
        b'{"cpu_seconds": NaN, "images": 5}',
        b'{"cpu_seconds": -1e9, "images": 5}',
        b'{"cpu_seconds": 1e999, "images": 5}',
        b'{"cpu_seconds": 1, "images": -5}',
        b'{"cpu_seconds": 1, "images": 0.5}',
        b'{"cpu_seconds": 1, "images": 1' + b"0" * 400 + b"}",
    ],
)
def test_costs_that_cannot_be_are_forgotten(home: Path, kept: bytes) -> None:
    stations = StationStore(home)
    add_images(stations, "embed", KEY, 3.0, 10)
    (stations.folder("embed", KEY) / "output.json").write_bytes(kept)
    assert image_seconds(stations, "embed", KEY) == 0
    add_images(stations, "embed", KEY, 3.0, 10)
    assert image_seconds(stations, "embed", KEY) == pytest.approx(0.3)
