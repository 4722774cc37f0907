"""Detectors that somebody brings, as tiny TFLite graphs that are told by the picture what to see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.compute.runtimes import tflite_graphs as graphs
from trunkline.core.errors import ConfigError, InputError
from trunkline.core.settings import load_settings
from trunkline.core.types.observation import Observation, Prediction, Reading
from trunkline.platform.engine.brought import BroughtPredictor
from trunkline.platform.registry.use import observe, predictors

CARD: dict[str, Any] = {
    "name": "boxes", "task": "detect", "labels": ["cat", "dog"], "licence": "MIT", "source": "a test",
}  # fmt: skip
OUTPUTS = {"boxes": "where", "scores": "how", "classes": "what", "count": "many", "order": "yxyx", "unit": "fraction"}
SHAPES = {"where": (1, 2, 4), "how": (1, 2), "what": (1, 2), "many": (1,)}
Open = Callable[..., BroughtPredictor]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a graph and its card; gives the graph."""

    def make(graph: bytes, stem: str = "net", **change: Any) -> Path:
        path = tmp_path / f"{stem}.tflite"
        path.write_bytes(graph)
        path.with_suffix(".json").write_text(json.dumps({**CARD, **change}))
        return path

    return make


@pytest.fixture
def opened(write: Callable[..., Path]) -> Iterator[Open]:
    """Opens a graph with a card; closed at the end."""
    made: list[BroughtPredictor] = []

    def call(graph: bytes, **change: Any) -> BroughtPredictor:
        made.append(BroughtPredictor(write(graph, **change), load_settings(threads=1)))
        return made[-1]

    yield call
    for predictor in made:
        predictor.close()


def told(values: Sequence[float], *, frame: int = 0) -> Reading:
    """A picture that tells the graph what to say: values in steps of `graphs.UNIT`."""
    pixels = np.zeros((graphs.CELLS, graphs.CELLS, 3), np.uint8)
    pixels.reshape(-1)[: len(values)] = np.round(np.array(values) / graphs.UNIT)
    return Reading(f"{frame}.png", frame, frame / 10, pixels)


def rows(observation: Observation) -> list[tuple[Any, ...]]:
    return [(p.label, round(p.score, 2), p.box) for p in observation.predictions]


def test_a_graph_that_ends_in_the_usual_operator_needs_no_word_on_outputs(opened: Open) -> None:
    predictor = opened(graphs.detector())
    (model,) = predictor.models
    reading = told([0, 0.9, 0.1, 0, 0.2, 0.6], frame=3)
    (seen,) = predictor.predict([reading])
    scores = [prediction.score for prediction in seen.predictions]
    assert np.allclose(scores, [0.9, 0.6])
    assert seen == Observation(
        source="3.png", frame=3, time=0.3, accepted=("cat", "dog"), unsure=False, bundle=model.bundle,
        predictions=(
            Prediction("cat", scores[0], (0.0, 0.0, 4.0, 4.0)), Prediction("dog", scores[1], (3.0, 4.0, 5.0, 8.0)),
        ),
    )  # fmt: skip


VALUES = [0, 0.25, 1, 0.5, 0.5, 0, 1, 1, 0.9, 0.6, 1, 0, 2]
PAIR = [("dog", 0.9, (2.0, 0.0, 4.0, 8.0)), ("cat", 0.6, (0.0, 4.0, 8.0, 8.0))]
FIRST = {**OUTPUTS, "boxes": 0, "scores": 1, "classes": 2, "count": 3}
UNCOUNTED = {key: value for key, value in OUTPUTS.items() if key != "count"}


@pytest.mark.parametrize(
    ("change", "values", "expected"),
    [
        ({"outputs": OUTPUTS}, VALUES, PAIR),
        ({"outputs": FIRST}, VALUES, PAIR),
        ({"outputs": {**OUTPUTS, "order": "xyxy"}}, VALUES,
         [("dog", 0.9, (0.0, 2.0, 8.0, 4.0)), ("cat", 0.6, (4.0, 0.0, 8.0, 8.0))]),
        ({"outputs": {**OUTPUTS, "unit": "pixels"}}, VALUES,
         [("dog", 0.9, (0.25, 0.0, 0.5, 1.0)), ("cat", 0.6, (0.0, 0.5, 1.0, 1.0))]),
        ({"outputs": OUTPUTS}, [*VALUES[:-1], 1], PAIR[:1]),
        ({"outputs": UNCOUNTED}, [*VALUES[:-1], 1], PAIR),
        ({"outputs": OUTPUTS, "threshold": 0.7}, VALUES, PAIR[:1]),
        ({"outputs": OUTPUTS, "labels": ["", "cat", "dog"], "label_offset": 1}, VALUES, PAIR),
        ({"outputs": OUTPUTS, "background": ["dog"]}, VALUES, PAIR[1:]),
        ({"outputs": OUTPUTS, "labels": ["dog", "cat"], "nms": 0.3}, [0, 0, 1, 1, 0, 0, 1, 0.5, 0.9, 0.6, 0, 0, 2],
         [("dog", 0.9, (0.0, 0.0, 8.0, 8.0))]),
    ],
)  # fmt: skip
def test_the_card_says_what_the_outputs_are(
    change: dict[str, Any], values: list[float], expected: list[tuple[Any, ...]], opened: Open
) -> None:
    (seen,) = opened(graphs.told(SHAPES), **change).predict([told(values)])
    assert rows(seen) == expected


def test_scores_of_all_classes(opened: Open) -> None:
    outputs = {"boxes": "where", "scores": "how", "order": "yxyx", "unit": "fraction"}
    predictor = opened(graphs.told({"where": (1, 2, 4), "how": (1, 2, 2)}), outputs=outputs)
    (seen,) = predictor.predict([told([*VALUES[:8], 0.1, 0.9, 0.6, 0.2])])
    assert rows(seen) == PAIR


def test_a_graph_of_floats_is_fed_what_the_card_says(opened: Open) -> None:
    scaling = {"mean": [220, 220, 220], "scale": [-1, -1, -1]}
    predictor = opened(graphs.told(SHAPES, "FLOAT32"), outputs=OUTPUTS, **scaling)
    pixels = np.uint8(220) - told(VALUES).pixels
    (seen,) = predictor.predict([Reading("a.png", 0, 0.0, pixels)])
    assert rows(seen) == PAIR


def test_pictures_of_any_size_have_their_own_pixels(opened: Open) -> None:
    pixels = np.full((128, 256, 3), (0, 10, 90), np.uint8)
    pixels[:, :32] = (0, 90, 10)  # the first column of the eight that the graph sees
    (seen,) = opened(graphs.detector()).predict([Reading("a.png", 0, 0.0, pixels)])
    assert {(thing.label, thing.box) for thing in seen.predictions} == {
        ("cat", (0.0, 0.0, 128.0, 64.0)), ("dog", (96.0, 64.0, 160.0, 128.0)),
    }  # fmt: skip


def test_answers_keep_the_order_of_the_readings(opened: Open) -> None:
    predictor = opened(graphs.told(SHAPES), outputs=OUTPUTS, threshold=0.01)
    scores = [0.1 * number for number in range(1, 10)]
    readings = (told([*VALUES[:8], score, 0, 0, 0, 1], frame=frame) for frame, score in enumerate(scores))
    seen = list(predictor.predict(readings))
    assert [(one.frame, round(one.predictions[0].score, 2)) for one in seen] == [
        (frame, round(score, 2)) for frame, score in enumerate(scores)
    ]
    assert list(predictor.predict([])) == []


def test_the_digest_is_of_the_graph_and_of_how_it_is_used(write: Callable[..., Path]) -> None:
    def digest(**change: Any) -> str:
        path = write(change.pop("graph", graphs.detector()), **change)
        predictor = BroughtPredictor(path, load_settings(threads=1))
        predictor.close()
        return predictor.models[0].bundle

    first = digest()
    assert digest(name="boxes", source="elsewhere") == first
    assert digest(graph=graphs.detector(), labels=["cat", "dog"]) == first
    others = [
        digest(threshold=0.4), digest(labels=["dog", "cat"]), digest(nms=0.5), digest(background=["cat"]),
        digest(graph=graphs.detector(classes=1), labels=["cat", "dog"]),
    ]  # fmt: skip
    assert len({first, *others}) == 6


@pytest.mark.parametrize(
    ("graph", "change", "where", "said"),
    [
        (graphs.told(SHAPES), {}, ": outputs", "so the card must say which of its outputs (where, how, what, many)"),
        (graphs.told(SHAPES), {"outputs": {**OUTPUTS, "boxes": "were"}}, ": outputs.boxes", "did you mean 'where'?"),
        (graphs.told(SHAPES), {"outputs": {**OUTPUTS, "count": 4}}, ": outputs.count", "no output named '4'"),
        (graphs.told(SHAPES, "FLOAT32"), {"outputs": OUTPUTS}, "", "the card must say mean and scale"),
    ],
    ids=["no outputs", "name", "place", "floats"],
)
def test_a_card_that_does_not_fit_its_graph_is_refused(
    graph: bytes, change: dict[str, Any], where: str, said: str, write: Callable[..., Path]
) -> None:
    path = write(graph, **change)
    with pytest.raises(InputError) as caught:
        BroughtPredictor(path, load_settings(threads=1))
    assert caught.value.where == f"{path.with_suffix('.json')}{where}"
    assert said in str(caught.value)


def test_a_graph_that_is_none_is_refused(write: Callable[..., Path]) -> None:
    path = write(b"TFL3" * 100)
    with pytest.raises(InputError, match="LiteRT cannot run the graph") as caught:
        BroughtPredictor(path, load_settings(threads=1))
    assert caught.value.where == str(path)


def test_a_class_without_a_label_names_the_card(opened: Open, tmp_path: Path) -> None:
    predictor = opened(graphs.told(SHAPES), outputs=OUTPUTS, labels=["cat"])
    with pytest.raises(InputError, match=r"the graph says class 1, the card has labels for 0 to 0") as caught:
        list(predictor.predict([told(VALUES)]))
    assert caught.value.where == str(tmp_path / "net.json")
    assert len(list(predictor.predict([told([0] * 13)]))) == 1  # and it goes on


def test_it_answers_beside_others(write: Callable[..., Path]) -> None:
    said: list[str] = []
    settings = load_settings(threads=1)
    paths = [write(graphs.detector(), name, name=name) for name in ("b", "a")]
    opened = [predictor for path in paths for predictor in predictors(str(path), settings, warn=said.append)]
    answers = list(observe(opened, [told([0, 0.9, 0], frame=frame) for frame in range(2)]))
    for predictor in opened:
        predictor.close()
    assert [(model.name, one.frame, rows(one)) for model, one in answers] == [
        (name, frame, [("cat", 0.9, (0.0, 0.0, 4.0, 4.0))]) for frame in range(2) for name in "ab"
    ]
    assert said == [
        f"{name}: brought along, so no gate measured it and nobody signed it (licence: MIT)" for name in "ba"
    ]


def test_a_card_that_is_not_there_is_no_model_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a TFLite graph or its card; there is nothing here"):
        predictors(str(tmp_path / "net.yaml"), load_settings(), warn=print)
    with pytest.raises(ConfigError, match="expected a block of keys"):
        (tmp_path / "net.yaml").write_text("- a\n")
        predictors(str(tmp_path / "net.yaml"), load_settings(), warn=print)
