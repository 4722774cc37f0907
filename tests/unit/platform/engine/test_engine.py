"""The engine: whoever asks, whatever comes or goes meanwhile, every request is answered by the models that it met."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from trunkline.algorithms.trunks import Trunk
from trunkline.core.errors import BusyError, DataError, NotFoundError
from trunkline.core.settings import Settings
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.observation import Reading
from trunkline.platform.engine import lane as module
from trunkline.platform.engine.engine import Answer, Engine
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.predictor import Predictor

LABELS = ("a", "b", "c")
Make = Callable[..., Model]


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="onnxruntime", batch=4, threads=1)


@pytest.fixture
def make(trunk: Trunk) -> Make:
    """A model of random weights."""

    def call(seed: int, version: str = "") -> Model:
        rng = np.random.default_rng(seed)
        weights = {
            "weight": rng.normal(0, 2, (trunk.card.width, 3)).astype(np.float32),
            "bias": rng.normal(0, 1, 3).astype(np.float32),
        }
        channels = [tap.channels for tap in trunk.card.taps]
        head = TrainedHead(
            "classify", LABELS, trunk.card.digest, weights, {"channels": channels}, dict.fromkeys(LABELS, 0.5),
            dict.fromkeys(LABELS, (0.0, 0.5)), {"temperature": 1.0},
        )  # fmt: skip
        return Model(version or f"bundle{seed}", head, f"model{seed}")

    return call


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    opened = Engine(settings, wait=0.02)
    yield opened
    opened.close()


@pytest.fixture
def images(pictures: Pictures) -> list[Image.Image]:
    return [Image.fromarray(pictures.array(seed, kind=seed % 2, size=(40 + seed, 36))) for seed in range(12)]


def alone(model: Model, trunk: Trunk, settings: Settings, image: Image.Image) -> np.ndarray:
    """Probabilities of one model by the path of `predict`, by label."""
    predictor = Predictor([model], trunk, settings)
    (seen,) = predictor.predict([Reading("x", 0, 0.0, np.asarray(image))])
    predictor.close()
    scores = {one.label: one.score for one in seen.predictions}
    return np.array([scores[label] for label in LABELS])


def test_every_caller_gets_its_own_answers(
    engine: Engine, trunk: Trunk, settings: Settings, make: Make, images: list[Image.Image]
) -> None:
    models = {f"m{seed}": make(seed) for seed in range(3)}
    engine.put(models, trunk)
    asked = [(image, keys) for image in images for keys in (["m0"], ["m2", "m1"])]
    futures: list[Future[Answer]] = [engine.ask(image, keys) for image, keys in asked]
    for (image, keys), future in zip(asked, futures, strict=True):
        answer = future.result(timeout=30)
        assert list(answer.scores) == keys
        assert [answer.models[key].bundle for key in keys] == [models[key].bundle for key in keys]
        for key in keys:
            expected = alone(models[key], trunk, settings, image)
            np.testing.assert_allclose(answer.scores[key].probabilities[0], expected, atol=1e-5)


def test_callers_are_batched(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    genuine = module.features_of

    def counting(session: object, trunk: Trunk, inputs: list[np.ndarray], **options: bool) -> object:
        sizes.append(len(inputs))
        return genuine(session, trunk, inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "features_of", counting)
    monkeypatch.setattr(module, "TOGETHER", 4)
    engine.put({"m": make(0)}, trunk)
    wait([engine.ask(image, ["m"]) for image in images[:8]], timeout=30)
    assert (sum(sizes), max(sizes)) == (8, 4)


def test_swaps_under_load_drop_and_mix_nothing(
    engine: Engine, trunk: Trunk, settings: Settings, make: Make, images: list[Image.Image]
) -> None:
    versions = [make(seed, version=f"v{seed}") for seed in range(2)]
    expected = {model.bundle: alone(model, trunk, settings, images[0]) for model in versions}
    assert np.abs(expected["v0"] - expected["v1"]).max() > 0.01
    engine.put({"m": versions[0], "other": make(9)}, trunk)
    over = threading.Event()

    def swap() -> None:
        number = 0
        while not over.is_set():
            number += 1
            engine.put({"m": versions[number % 2]}, trunk)
            engine.put({"comes": make(5)}, trunk)
            engine.remove(["comes"])

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    for _ in range(60):
        futures = [engine.ask(images[0], ["m", "other"]) for _ in range(4)]
        for answer in (future.result(timeout=30) for future in futures):
            bundle = answer.models["m"].bundle
            seen.add(bundle)
            np.testing.assert_allclose(answer.scores["m"].probabilities[0], expected[bundle], atol=1e-5)
    over.set()
    swapping.join()
    assert seen == {"v0", "v1"}


def test_a_model_that_goes_answers_those_who_came_before(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    before = set(threading.enumerate())
    engine.put({"m": make(0)}, trunk)
    futures = [engine.ask(image, ["m"]) for image in images]
    engine.remove(["m"])
    assert all(future.result(timeout=30).models["m"].bundle == "bundle0" for future in futures)
    with pytest.raises(NotFoundError):
        engine.ask(images[0], ["m"])
    assert (engine.models, set(threading.enumerate()) - before) == ({}, set())


def test_nobody_waits_while_models_are_made_ready(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.put({"m": make(0)}, trunk)
    began, go, real = threading.Event(), threading.Event(), Fleet.changed

    def slow(self: Fleet, *args: Any, **options: Any) -> Fleet:
        began.set()
        assert go.wait(30)
        return real(self, *args, **options)

    monkeypatch.setattr(Fleet, "changed", slow)
    swap = threading.Thread(target=engine.put, args=({"m": make(1)}, trunk))
    swap.start()
    assert began.wait(30)
    assert engine.ask(images[0], ["m"]).result(timeout=30).models["m"].bundle == "bundle0"
    go.set()
    swap.join()
    assert engine.ask(images[0], ["m"]).result(timeout=30).models["m"].bundle == "bundle1"


def test_near_names_are_given(engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image]) -> None:
    engine.put({"steel": make(0)}, trunk)
    with pytest.raises(NotFoundError, match="did you mean 'steel'"):
        engine.ask(images[0], ["stel"])
    with pytest.raises(NotFoundError):
        engine.remove(["steel", "stel"])
    assert list(engine.models) == ["steel"]


def test_who_comes_when_all_places_are_taken_is_told(
    settings: Settings, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    engine = Engine(settings.model_copy(update={"batch": 64}), wait=5.0, queue=2)
    engine.put({"m": make(0)}, trunk)
    futures = [engine.ask(images[0], ["m"]) for _ in range(2)]
    with pytest.raises(BusyError, match="2 images wait already"):
        engine.ask(images[0], ["m"])
    engine.close()  # answers what waits
    assert all(future.done() and future.exception() is None for future in futures)


def test_one_fault_is_told_to_its_batch_and_the_next_is_answered(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.put({"m": make(0)}, trunk)
    with monkeypatch.context() as patch:
        patch.setattr(module, "features_of", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.ask(images[0], ["m"]).result(timeout=30)
    assert engine.ask(images[0], ["m"]).result(timeout=30).models["m"].bundle == "bundle0"


def test_an_image_is_decoded_when_its_turn_has_come_and_a_broken_one_fails_alone(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    def broken() -> Image.Image:
        raise DataError("the image is broken")

    engine.put({"m": make(0)}, trunk)
    bad, good = engine.ask(broken, ["m"]), engine.ask(lambda: images[0], ["m"])
    with pytest.raises(DataError, match="broken"):
        bad.result(timeout=30)
    same = engine.ask(images[0], ["m"]).result(timeout=30).scores["m"].probabilities
    assert np.allclose(good.result(timeout=30).scores["m"].probabilities, same, atol=1e-5)


def test_a_picture_that_fails_is_freed_at_once(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    """Not when the garbage collector next looks: until then, broken pictures would fill the memory."""
    held: list[weakref.ref[Image.Image]] = []

    def broken() -> Image.Image:
        picture = images[0].copy()
        held.append(weakref.ref(picture))
        raise DataError("the image is broken")

    engine.put({"m": make(0)}, trunk)
    gc.disable()
    try:
        future = engine.ask(broken, ["m"])
        assert isinstance(future.exception(timeout=30), DataError)
        assert [one() for one in held] == [None]
    finally:
        gc.enable()


def test_a_caller_that_went_away_costs_the_others_nothing(
    engine: Engine, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    engine.put({"m": make(0)}, trunk)
    gone, stays = engine.ask(images[0], ["m"]), engine.ask(images[1], ["m"])
    gone.cancel()
    assert stays.result(timeout=30).models["m"].bundle == "bundle0"


def test_an_image_waits_for_company_no_longer_than_it_may(
    settings: Settings, trunk: Trunk, make: Make, images: list[Image.Image]
) -> None:
    engine = Engine(settings.model_copy(update={"batch": 64}), wait=0.01)
    engine.put({"m": make(0)}, trunk)
    engine.ask(images[0], ["m"]).result(timeout=30)  # opens the trunk
    start = time.monotonic()
    engine.ask(images[0], ["m"]).result(timeout=30)
    engine.close()
    assert time.monotonic() - start < 4
