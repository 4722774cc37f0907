"""`bench chip` on real, tiny models: measured, gated, kept on the card, and followed by `predict`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.trunks import resolve
from trunkline.compute.chips import cards
from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cards import Card
from trunkline.compute.runtimes import speed
from trunkline.compute.runtimes.speed import Speed
from trunkline.core.errors import ConfigError, InputError, NotFoundError
from trunkline.core.settings import Settings
from trunkline.core.types.observation import Reading
from trunkline.core.types.scenario import Scenario, Source
from trunkline.platform.bench import chip as module
from trunkline.platform.bench.chip import bench_chip
from trunkline.platform.data.store import ImageStore
from trunkline.platform.line.results import Silent
from trunkline.platform.line.runner import Line
from trunkline.platform.registry.use import predictors

PLAIN, ORT = Way("openvino"), Way("onnxruntime")
Build = Callable[..., None]


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, threads=1)


@pytest.fixture
def build(settings: Settings, tmp_path: Path, pictures: Pictures) -> Build:
    """Builds models of stripes on the tiny trunk."""

    def call(*names: str, task: str = "classify", **keys: Any) -> None:
        scenarios = []
        for number, name in enumerate(names):
            folder = pictures.folder(tmp_path / name, labels=(*("a", "b")[: 2 - number % 2], "c"), count=10)
            row = {"name": name, "task": task, "data": str(folder), "trunk": "test-trunk", **keys}
            scenarios.append(Scenario.model_validate(row))
        line = Line(settings, Silent(), "test")
        list(line.run(scenarios))
        line.shop.close()
        assert line.errors == []

    return call


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Speeds are what a test says, by the way's words."""
    said = {"openvino fp32": 100.0, "onnxruntime fp32": 100.0, "openvino int8": 100.0, "onnxruntime int8": 100.0}

    def measure(sessions: dict[Way, object], images: np.ndarray, **options: object) -> dict[Way, Speed]:
        return {way: Speed(said[str(way)], 1000 / said[str(way)], 1.0, 2.0) for way in sessions}

    monkeypatch.setattr(speed, "measure", measure)
    return said


def ways(card: Card) -> dict[str, str]:
    """Model -> the way that it takes."""
    return {row.name: str(row.way) for row in card.models.values()}


def test_the_faster_precision_is_chosen_kept_and_followed(
    build: Build, settings: Settings, speeds: dict[str, float], pictures: Pictures
) -> None:
    build("one", "two")
    speeds["openvino int8"] = 170.0
    card, path = bench_chip(settings, refs=["*"], max_loss=1.0)
    assert ways(card) == {"one": "openvino int8", "two": "openvino int8"}
    assert cards.load(settings.home, "cpu") == card
    assert path == settings.home / "chips" / "cpu.json"
    readings = [Reading("x", 0, 0.0, pictures.array(3, kind=1))]
    found = {}
    for precision in ("auto", "fp32"):
        (opened,) = predictors("*", settings.model_copy(update={"precision": precision}), warn=lambda text: None)
        found[opened.precision] = [seen.predictions[0].score for seen in opened.predict(readings)]  # type: ignore[attr-defined]
        opened.close()
    assert set(found) == {"int8", "fp32"}
    assert found["int8"] != found["fp32"]
    np.testing.assert_allclose(found["int8"], found["fp32"], atol=0.05)


def test_the_scenario_says_what_a_class_may_lose(build: Build, settings: Settings, speeds: dict[str, float]) -> None:
    build("one", precision_loss=0.25)
    allowed = [
        bench_chip(settings, refs=["one"], max_loss=said)[0].models.popitem()[1].max_loss for said in (None, 0.1)
    ]
    assert allowed == [0.25, 0.1]


def test_a_card_of_another_machine_chooses_nothing(
    build: Build, settings: Settings, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("one")
    speeds["openvino int8"] = 170.0
    bench_chip(settings, refs=["one"], max_loss=1.0)
    monkeypatch.setattr(cards, "machine", lambda: {"cpu": "another"})
    (opened,) = predictors("one", settings, warn=lambda text: None)
    opened.close()
    assert opened.precision == "fp32"  # type: ignore[attr-defined]


def test_what_is_not_faster_is_not_chosen(build: Build, settings: Settings, speeds: dict[str, float]) -> None:
    build("one")
    card, _ = bench_chip(settings, refs=["one"], max_loss=1.0)
    (row,) = card.models.values()
    assert (row.way, row.reason.endswith("is 1.00 times as fast, 1.2 is asked for")) == (PLAIN, True)


def test_a_class_that_loses_keeps_the_model_in_float32(
    build: Build, settings: Settings, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("one")
    speeds["openvino int8"] = 170.0
    genuine = module.trial

    def swapped(head: object, targets: object, before: object, after: object, **options: object) -> object:
        scores = after.take(list(range(len(targets)))[::-1])  # type: ignore[attr-defined, arg-type]
        return genuine(head, targets, before, scores, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "trial", swapped)
    card, _ = bench_chip(settings, refs=["one"])
    (row,) = card.models.values()
    assert (row.way, "openvino int8 is 1.70 times as fast, but " in row.reason) == (PLAIN, True)
    assert "points of recall, 0.5 are allowed" in row.reason


def test_a_model_whose_images_are_gone_has_no_evidence(
    build: Build, settings: Settings, speeds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("one")
    monkeypatch.setattr(ImageStore, "has", lambda self, image: False)
    card, _ = bench_chip(settings, refs=["one"])
    (row,) = card.models.values()
    assert (row.way, row.test_images, row.trials) == (PLAIN, 0, ())
    assert row.reason == "its data set, or its test part, is not in this home: there is no evidence"


def test_maps_are_quantised_for_models_that_need_them(
    settings: Settings, speeds: dict[str, float], tmp_path: Path, pictures: Pictures
) -> None:
    pictures.folder(tmp_path / "good", labels=("good",), count=12)
    scenario = Scenario(name="odd", task="anomaly", data=(Source(path=tmp_path / "good"),), trunk="test-trunk")
    line = Line(settings, Silent(), "test")
    list(line.run([scenario]))
    line.shop.close()
    card, _ = bench_chip(settings, refs=["odd"])
    (trunk,), (model,) = card.trunks.values(), card.models.values()
    assert (trunk.dense, model.way) == (True, PLAIN)
    assert {str(trial.way) for trial in model.trials} == {"onnxruntime fp32", "openvino int8", "onnxruntime int8"}


def test_earlier_rows_stay(build: Build, settings: Settings, speeds: dict[str, float]) -> None:
    build("one", "two")
    bench_chip(settings, refs=["one"])
    bench_chip(settings, refs=["two"])
    kept = cards.load(settings.home, "cpu")
    assert kept is not None
    assert sorted(ways(kept)) == ["one", "two"]


def test_trunks_alone_are_measured_on_the_images_of_the_home(
    build: Build, settings: Settings, speeds: dict[str, float]
) -> None:
    build("one")
    card, _ = bench_chip(settings)
    (row,) = card.trunks.values()
    assert card.models == {}
    assert row.images > 0
    assert {str(way.way): way.used for way in row.ways if not way.reason} == {
        "openvino fp32": "fp32", "onnxruntime fp32": "fp32", "openvino int8": "int8", "onnxruntime int8": "int8",
    }  # fmt: skip
    assert all(way.cosine > 0.99 for way in row.ways if not way.reason)


def test_images_can_be_named(settings: Settings, speeds: dict[str, float], tmp_path: Path, pictures: Pictures) -> None:
    pictures.folder(tmp_path / "some", count=6)
    card, _ = bench_chip(settings, trunks=["test-trunk"], images=[tmp_path / "some"])
    (row,) = card.trunks.values()
    assert (row.name, row.images) == ("test-trunk", 6)


def test_without_images_int8_says_why_it_is_not_there(settings: Settings, speeds: dict[str, float]) -> None:
    card, _ = bench_chip(settings, trunks=["test-trunk"])
    (row,) = card.trunks.values()
    reasons = {str(way.way): way.reason for way in row.ways if way.way.precision == "int8"}
    assert reasons == dict.fromkeys(("openvino int8", "onnxruntime int8"), "there are no images to calibrate INT8 on")


def test_features_that_are_kept_are_float32_all_along(
    build: Build, settings: Settings, speeds: dict[str, float], embedded: Iterator[list[int]]
) -> None:
    build("one")
    before = sorted(path.read_bytes() for path in (settings.home / "features").rglob("*.lance") if path.is_file())
    speeds["openvino int8"] = 170.0
    bench_chip(settings, refs=["one"], max_loss=1.0)
    build("again")
    after = [path.read_bytes() for path in (settings.home / "features").rglob("*.lance") if path.is_file()]
    assert [data in after for data in before] == [True] * len(before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chip": "gpu"}, NotFoundError, "no chip named 'gpu'"),
        ({"chip": "npu-int8"}, ConfigError, "expected a chip that runs, cpu or cuda, got 'npu-int8'"),
        ({"chip": "cuda"}, InputError, "the chip cuda cannot be used here: ONNX Runtime here offers"),
        ({"refs": ["nothing"]}, NotFoundError, "no model named 'nothing'"),
        ({"trunks": ["nothing"]}, NotFoundError, "no trunk named 'nothing'"),
        ({"refs": ["x"], "trunks": ["test-trunk"]}, ConfigError, "expected models, or trunks and images"),
        ({"max_loss": 1.5}, ConfigError, "expected 0 to 1, got 1.5"),
        ({"max_loss": float("nan")}, ConfigError, "expected 0 to 1, got nan"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, object], error: type[Exception], message: str, settings: Settings
) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        bench_chip(settings, **options)  # type: ignore[arg-type]
    assert not (settings.home / "chips").exists()


def test_the_card_is_json_of_one_machine(settings: Settings, speeds: dict[str, float]) -> None:
    card, path = bench_chip(settings, trunks=["test-trunk"])
    row = json.loads(path.read_bytes())
    assert (row["schema"], row["chip"], row["facts"]) == (1, "cpu", dict(card.facts))
    assert row["trunks"].keys() == {resolve("test-trunk", settings.home).card.digest}
