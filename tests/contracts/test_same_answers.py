"""A head says the same alone, among a thousand, in any batch, through `predict` or the engine, in every runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from tests.contracts.conftest import Trunks
from trunkline.algorithms.trunks import Trunk, open_trunk, preprocess
from trunkline.compute.runtimes import MEASURED
from trunkline.core.settings import Settings
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.observation import Reading
from trunkline.platform.engine.engine import Engine
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.predictor import Predictor, features_of

WITHIN = 1e-5
"""Probabilities in one runtime: the order in which a product of another width adds up."""
ACROSS = 1e-3
"""And between runtimes, whose float32 features differ in their last bits."""
LABELS = ("a", "b", "c")
IMAGES, MODELS = 5, 1_000

Answers = dict[str, np.ndarray]
"""Way -> probabilities of the first model, shape (images, labels)."""


@pytest.fixture(scope="module")
def trunk(trunks: Trunks) -> Trunk:
    return trunks["test-trunk"]


@pytest.fixture(scope="module")
def models(trunk: Trunk) -> dict[str, Model]:
    def model(seed: int) -> Model:
        rng = np.random.default_rng(seed)
        weights = {
            "weight": rng.normal(0, 1, (trunk.card.width, 3)).astype(np.float32),
            "bias": rng.normal(0, 1, 3).astype(np.float32),
        }
        config = {"channels": [tap.channels for tap in trunk.card.taps]}
        limits = (dict.fromkeys(LABELS, 0.5), dict.fromkeys(LABELS, (0.0, 0.5)))
        head = TrainedHead("classify", LABELS, trunk.card.digest, weights, config, *limits, {"temperature": 1.3})
        return Model(f"{seed:064x}", head, f"m{seed}")

    return {f"m{seed}": model(seed) for seed in range(MODELS)}


def by_every_way(runtime: str, trunk: Trunk, models: dict[str, Model], pixels: list[np.ndarray]) -> Answers:
    settings = Settings(home=trunk.folder.parents[1], runtime=runtime, threads=2)
    session = open_trunk(trunk, settings)
    inputs = [preprocess(Image.fromarray(one), trunk.card) for one in pixels]
    many, one = Fleet(trunk.card.digest).changed(models), Fleet(trunk.card.digest).changed({"m0": models["m0"]})

    def one_by_one(fleet: Fleet) -> np.ndarray:
        tables = [features_of(session, trunk, [image]) for image in inputs]
        return np.concatenate([fleet.answers(table)["m0"].probabilities for table in tables])

    def together(fleet: Fleet) -> np.ndarray:
        return fleet.answers(features_of(session, trunk, inputs))["m0"].probabilities

    def by_predict() -> np.ndarray:
        predictor = Predictor([models["m0"]], trunk, settings, session=session)
        seen = list(predictor.predict(Reading("x", 0, 0.0, one) for one in pixels))
        scores = [{p.label: p.score for p in observation.predictions} for observation in seen]
        return np.array([[row[label] for label in LABELS] for row in scores])

    def by_engine() -> np.ndarray:
        engine = Engine(settings)
        engine.put(models, trunk)
        futures = [engine.ask(Image.fromarray(one), ["m0", "m500"]) for one in pixels]
        answers = [future.result(timeout=60).scores["m0"].probabilities[0] for future in futures]
        engine.close()
        return np.array(answers)

    ways: dict[str, Callable[[], np.ndarray]] = {
        "alone, one image": lambda: one_by_one(one),
        "alone, a batch": lambda: together(one),
        "among a thousand, one image": lambda: one_by_one(many),
        "among a thousand, a batch": lambda: together(many),
        "predict": by_predict,
        "engine": by_engine,
    }
    found = {way: ask() for way, ask in ways.items()}
    session.close()
    return found


def test_answers_are_the_same(trunk: Trunk, models: dict[str, Model], pictures: Pictures, tmp_path: Path) -> None:
    pixels = [pictures.array(seed, kind=seed % 2, size=(40 + 7 * seed, 36)) for seed in range(IMAGES)]
    found = {runtime: by_every_way(runtime, trunk, models, pixels) for runtime in MEASURED}
    expected = found[MEASURED[0]]["alone, one image"]
    assert np.ptp(expected, axis=0).max() > 0.01, "pictures that all look alike show nothing"
    for runtime, ways in found.items():
        for way, answers in ways.items():
            np.testing.assert_allclose(answers, ways["alone, one image"], atol=WITHIN, err_msg=f"{runtime}: {way}")
        np.testing.assert_allclose(ways["alone, one image"], expected, atol=ACROSS, err_msg=runtime)
