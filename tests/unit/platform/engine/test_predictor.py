"""Pictures in, observations out: in order, batch by batch, the trunk run once for all models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.trunks import Trunk, open_trunk
from trunkline.algorithms.trunks.use import TrunkSession
from trunkline.core.digest import digest_bytes
from trunkline.core.errors import BundleError, DataError
from trunkline.core.settings import Settings
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.observation import Observation, Prediction, Reading
from trunkline.platform.engine import predictor as predictor_module
from trunkline.platform.engine.features import FeatureStore
from trunkline.platform.engine.fleet import Model, score
from trunkline.platform.engine.predictor import Predictor, observation, pixels_of

LABELS = ("a", "b")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "TOGETHER", 4)


class Bright:
    """Label a for pictures whose first feature is above the head's level; b else."""

    task = "bright"
    dense: tuple[str, ...] = ()

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        a = (table.pooled[:, 0] > head.weights["level"]).astype(np.float64)
        p = np.stack([a, 1 - a], axis=1)
        return Scores(p, p > 0.5, np.zeros(len(p), bool))


class Places(Bright):
    """The same, and it tells what maps it was given."""

    task = "places"
    dense = ("tap1",)

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        p = np.tile([float(list(table.dense) == ["tap1"]), 0.0], (len(table.images), 1))
        return Scores(p, p > 0.5, np.ones(len(p), bool), np.arange(len(p), dtype=float))


@pytest.fixture(autouse=True)
def _heads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Bright", "Places"):
        monkeypatch.setitem(HEADS.targets, name.lower(), f"{__name__}:{name}")


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="onnxruntime", batch=4, threads=2)


def model(trunk: Trunk, task: str = "bright", level: float = 0.0) -> Model:
    weights = {"level": np.array(level, np.float32)}
    return Model(digest_bytes(f"{task} {level}".encode()), TrainedHead(task, LABELS, trunk.card.digest, weights), task)


def readings(pictures: Pictures, count: int) -> list[Reading]:
    return [
        Reading(f"{seed}.png", seed, seed / 10, pictures.array(seed, kind=seed % 3, size=(30 + seed, 40)))
        for seed in range(count)
    ]


class Counted:
    """A trunk's session that counts its batches."""

    def __init__(self, session: TrunkSession) -> None:
        self.session = session
        self.batches: list[int] = []
        self.closed = 0

    def embed(self, images: Sequence[np.ndarray], *, whole: bool = True) -> Mapping[str, np.ndarray]:
        self.batches.append(len(images))
        return self.session.embed(images)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def counted(trunk: Trunk, settings: Settings) -> Counted:
    return Counted(open_trunk(trunk, settings))


def test_answers_come_reading_by_reading_model_by_model(
    trunk: Trunk, settings: Settings, pictures: Pictures, counted: Counted
) -> None:
    asked = readings(pictures, 10)
    low = np.sort(counted.session.embed([np.zeros((32, 32, 3), np.uint8)])["pooled"][0])[0]
    models = [model(trunk, level=low), model(trunk, level=1e9), model(trunk, level=-1e9)]
    predictor = Predictor(models, trunk, settings, session=counted)  # type: ignore[arg-type]
    found = list(predictor.predict(asked))
    assert counted.batches == [4, 4, 2]
    assert [(o.source, o.frame, o.time, o.bundle) for o in found] == [
        (r.source, r.frame, r.time, m.bundle) for r in asked for m in models
    ]
    assert [o.predictions[0].label for o in found[1::3]] == ["b"] * 10
    assert [o.predictions[0].label for o in found[2::3]] == ["a"] * 10
    alone = [next(predictor.predict([reading])) for reading in asked]
    assert found[::3] == alone


def test_readings_are_taken_a_batch_at_a_time(
    trunk: Trunk, settings: Settings, pictures: Pictures, counted: Counted
) -> None:
    taken: list[int] = []

    def source() -> Iterator[Reading]:
        for number, reading in enumerate(readings(pictures, 9)):
            taken.append(number)
            yield reading

    predictor = Predictor([model(trunk)], trunk, settings, session=counted)  # type: ignore[arg-type]
    stream = predictor.predict(source())
    next(stream)
    assert len(taken) == 4
    assert len(list(stream)) == 8
    assert list(predictor.predict([])) == []


def test_features_are_bit_by_bit_those_of_the_cache(trunk: Trunk, settings: Settings, pictures: Pictures) -> None:
    files = {digest_bytes(data): data for data in (pictures.encode(seed, size=(50, 40 + seed)) for seed in range(6))}
    store = FeatureStore(settings, trunk)
    store.embed(list(files), read=lambda images: ((i, files[i]) for i in images), dense=("tap0", "tap1", "tap2"))
    kept = store.table(list(files), dense=("tap0", "tap1", "tap2"))
    predictor = Predictor([model(trunk, "places")], trunk, settings)
    found = predictor.features([pixels_of(data, max_pixels=10_000) for data in files.values()])
    predictor.close()
    assert (found.trunk, list(found.dense)) == (kept.trunk, list(kept.dense))
    assert np.array_equal(found.pooled, kept.pooled)
    assert {tap: np.array_equal(found.dense[tap], maps) for tap, maps in kept.dense.items()} == dict.fromkeys(
        kept.dense, True
    )


def test_a_head_sees_the_maps_that_it_asks_for(trunk: Trunk, settings: Settings, pictures: Pictures) -> None:
    predictor = Predictor([model(trunk), model(trunk, "places")], trunk, settings)
    first, second = predictor.predict(readings(pictures, 1))
    predictor.close()
    assert predictor.dense
    assert (first.unsure, first.anomaly_score) == (False, None)
    assert second == Observation(
        "0.png", 0, 0.0, (Prediction("a", 1.0), Prediction("b", 0.0)), ("a",), True, second.bundle, 0.0
    )


def test_models_on_another_trunk_are_refused(trunk: Trunk, settings: Settings) -> None:
    other = Model("", TrainedHead("bright", LABELS, "f" * 64, {}))
    with pytest.raises(ValueError, match=f"expected models of trunk {trunk.card.digest}, got {'f' * 64}"):
        Predictor([model(trunk), other], trunk, settings)


def test_features_of_another_trunk_are_refused(trunk: Trunk) -> None:
    table = FeatureTable(("",), np.zeros((1, 144), np.float32), "f" * 64)
    with pytest.raises(ValueError, match=f"expected features of trunk {trunk.card.digest}, got {'f' * 64}"):
        score(model(trunk).head, table)


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_are_no_answer(trunk: Trunk) -> None:
    head = TrainedHead(
        "classify", LABELS, trunk.card.digest,
        {"weight": np.full((144, 2), 3e38, np.float32), "bias": np.zeros(2, np.float32)},
        {"channels": []}, unsure=dict.fromkeys(LABELS, (0.0, 0.5)), calibration={"temperature": 1.0},
    )  # fmt: skip
    table = FeatureTable(("",), np.ones((1, 144), np.float32), trunk.card.digest)
    with pytest.raises(BundleError, match="the classify head gives numbers that are not finite"):
        score(head, table)


@pytest.mark.parametrize(("own", "closed"), [(False, 0), (True, 1)])
def test_only_what_was_opened_here_is_closed(
    own: bool, closed: int, trunk: Trunk, settings: Settings, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.algorithms.trunks.open_trunk", lambda *given, **named: counted)
    given = {True: None, False: counted}[own]
    Predictor([model(trunk)], trunk, settings, session=given).close()  # type: ignore[arg-type]
    assert counted.closed == closed


def test_latency_is_of_single_images_without_the_first(
    trunk: Trunk, settings: Settings, pictures: Pictures, counted: Counted
) -> None:
    ticks = iter([0.0, 9.0, 10.0, 10.002, 20.0, 20.005])
    predictor = Predictor([model(trunk)], trunk, settings, session=counted)  # type: ignore[arg-type]
    times = predictor.latency((pictures.encode(seed) for seed in range(3)), clock=lambda: next(ticks))
    assert [round(time, 6) for time in times] == [2.0, 5.0]
    assert counted.batches == [1, 1, 1]


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        pixels_of(data, max_pixels=100)


def test_labels_come_by_falling_score_and_names_settle_ties(trunk: Trunk) -> None:
    head = TrainedHead("bright", ("d", "c", "b", "a"), trunk.card.digest, {})
    scores = Scores(
        np.array([[0.2, 0.7, 0.7, 1.0000001]]),
        np.array([[True, False, True, False]]),
        np.array([True]),
        np.array([3.5]),
    )
    reading = Reading("cam", 7, 0.5, np.zeros((2, 2, 3), np.uint8))
    ranked = tuple(Prediction(label, p) for label, p in (("a", 1.0), ("b", 0.7), ("c", 0.7), ("d", 0.2)))
    assert observation(Model("x", head), scores, 0, reading) == Observation(
        "cam", 7, 0.5, ranked, ("b", "d"), True, "x", 3.5
    )
