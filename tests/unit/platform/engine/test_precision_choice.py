"""Which way models take: the card's, if all of them have it; a setting's; else float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.trunks import Trunk
from trunkline.algorithms.trunks.int8 import make_int8
from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cards import Card, ModelRow, Trial, TrunkRow, WayRow, save
from trunkline.compute.runtimes import onnxruntime
from trunkline.core.errors import InputError
from trunkline.core.settings import Settings
from trunkline.core.types.head import TrainedHead
from trunkline.platform.engine.precision import prefer, trial, way_for

PLAIN, ORT, CUDA = Way("openvino"), Way("onnxruntime"), Way("onnxruntime", chip="cuda")
MODELS = ("m1", "m2")


@pytest.fixture
def int8(trunk: Trunk) -> Way:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    return Way("openvino", "int8", calibration=make_int8(trunk, ("a" * 64,), lambda: pictures))


Keep = Callable[..., None]


@pytest.fixture
def keep(trunk: Trunk, home: Path, int8: Way) -> Keep:
    """Writes a card on which each model takes a way."""

    def call(*ways: Way, chip: str = "cpu", times: float = 1.7, holds: bool = True) -> None:
        rows = (WayRow(PLAIN, "fp32", 1.0, times=1.0), WayRow(ways[0], ways[0].precision, 1.0, times=times))
        tried = Trial(int8, {"a": (9, 1.0, 0.8)}, 0.2, 0.0, holds, "" if holds else "a loses 20.00 points of recall")
        digest = trunk.card.digest
        models = {
            name: ModelRow(name, digest, "d", 9, 0.005, way, "", (tried,))
            for name, way in zip(MODELS, ways, strict=False)
        }
        save(home, Card(chip, trunks={digest: TrunkRow("net", False, 2, 4, 9, PLAIN, rows)}, models=models))

    return call


def asked(home: Path, **fields: object) -> Settings:
    return Settings(home=home, threads=1, **fields)  # type: ignore[arg-type]


def test_without_a_card_everything_is_float32(trunk: Trunk, home: Path) -> None:
    assert way_for(trunk, MODELS, asked(home)) is None


def test_a_way_that_all_models_take_is_taken(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, int8)
    assert way_for(trunk, MODELS, asked(home)) == int8
    assert way_for(trunk, MODELS[:1], asked(home)) == int8


def test_a_model_without_evidence_keeps_all_in_float32(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, int8)
    assert way_for(trunk, (*MODELS, "new"), asked(home)) is None


def test_models_that_differ_run_in_float32_together(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, PLAIN)
    assert way_for(trunk, MODELS, asked(home)) is None
    assert way_for(trunk, MODELS[:1], asked(home)) == int8


@pytest.mark.parametrize("fields", [{"precision": "fp32"}, {"runtime": "onnxruntime"}, {"runtime": "fake"}])
def test_settings_come_before_the_card(
    fields: dict[str, object], trunk: Trunk, home: Path, keep: Keep, int8: Way
) -> None:
    keep(int8, int8)
    assert way_for(trunk, MODELS, asked(home, **fields)) is None


def test_no_models_have_no_choice(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, int8)
    assert way_for(trunk, (), asked(home)) is None


def test_a_graph_that_is_gone_is_told_and_done_without(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, int8)
    (trunk.folder / f"int8-{int8.calibration}.onnx").unlink()
    said: list[str] = []
    assert way_for(trunk, MODELS, asked(home), say=said.append) is None
    assert [line.split(": ")[0] for line in said] == ["test-trunk runs in fp32"]


@pytest.mark.parametrize(("times", "expected"), [(3.0, CUDA), (1.5, None)], ids=["cuda is faster", "the cpu is"])
def test_of_two_chips_the_faster_one_is_taken(
    times: float, expected: Way | None, trunk: Trunk, home: Path, keep: Keep, int8: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "providers", lambda: ["CUDAExecutionProvider"])
    keep(int8, int8)
    keep(CUDA, CUDA, chip="cuda", times=times)
    assert way_for(trunk, MODELS, asked(home)) == (expected or int8)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_openvinos(precision: str, trunk: Trunk, home: Path) -> None:
    assert way_for(trunk, MODELS, asked(home, precision=precision)) == Way("openvino", precision)
    with pytest.raises(InputError, match=f"expected fp32 or int8 with the runtime onnxruntime, got {precision}"):
        way_for(trunk, MODELS, asked(home, precision=precision, runtime="onnxruntime"))


def test_int8_that_is_asked_for_needs_a_graph(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    with pytest.raises(InputError, match="there is no INT8 graph of test-trunk in this home"):
        way_for(trunk, MODELS, asked(home, precision="int8"))
    keep(int8, PLAIN)
    assert way_for(trunk, (*MODELS, "new"), asked(home, precision="int8")) == int8


def test_what_it_costs_is_said_when_it_is_asked_for(trunk: Trunk, home: Path, keep: Keep, int8: Way) -> None:
    keep(int8, PLAIN, holds=False)
    said: list[str] = []
    way_for(trunk, MODELS[:1], asked(home, precision="int8"), say=said.append)
    assert said == ["m1: openvino int8, as the setting `precision` asks for: a loses 20.00 points of recall"]


LABELS = ("a", "b")
TARGETS = (("a",),) * 10 + (("b",),) * 10


def scores(wrong_a: int = 0, wrong_b: int = 0, unsure: int = 0) -> Scores:
    """Answers on ten images of each label, so many of them wrong."""
    right = np.array([number >= wrong_a for number in range(10)] + [number < wrong_b for number in range(10)])
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
    return Scores(probabilities, probabilities > 0.5, np.arange(20) < unsure)


@pytest.mark.parametrize(
    ("before", "after", "max_loss", "expected"),
    [
        ((0, 0), (0, 0), 0.005, (0.0, "")),
        ((1, 0), (0, 0), 0.005, (0.0, "")),
        ((0, 0), (1, 0), 0.005, (0.1, "a loses 10.00 points of recall, 0.5 are allowed")),
        ((0, 0), (0, 2), 0.1, (0.2, "b loses 20.00 points of recall, 10 are allowed")),
        ((0, 0), (1, 0), 0.1, (0.1, "")),
        ((3, 0), (0, 1), 0.005, (0.1, "b loses 10.00 points of recall, 0.5 are allowed")),
    ],
    ids=["the same", "better", "worse", "much worse", "just allowed", "one better, one worse"],
)
def test_every_class_must_hold(
    before: tuple[int, int], after: tuple[int, int], max_loss: float, expected: tuple[float, str]
) -> None:
    head = TrainedHead("classify", LABELS, "t", {})
    found = trial(head, TARGETS, scores(*before), scores(*after), way=PLAIN, max_loss=max_loss)
    assert (round(found.worst, 9), found.reason, found.holds) == (*expected, not expected[1])


def test_a_label_that_is_seen_where_it_is_not_counts_as_a_loss() -> None:
    """With several labels an image, a false alarm takes no recall from any other label."""
    head = TrainedHead("multilabel", LABELS, "t", {})
    before = scores()
    alarmed = before.accepted.copy()
    alarmed[0, 1] = True
    found = trial(head, TARGETS, before, replace(before, accepted=alarmed), way=PLAIN, max_loss=0.005)
    assert (found.worst, found.reason) == (0.1, "b gains 10.00 points of false alarms, 0.5 are allowed")


def test_a_class_without_test_images_is_no_evidence() -> None:
    head = TrainedHead("classify", LABELS, "t", {})
    some = scores().take(list(range(10)))
    found = trial(head, TARGETS[:10], some, some, way=PLAIN, max_loss=1.0)
    assert (found.holds, found.reason) == (False, "no test image of b: there is no evidence for it")
    assert found.classes == {"a": (10, 1.0, 1.0), "b": (0, None, None)}


def test_images_that_it_became_unsure_of_are_told() -> None:
    head = TrainedHead("classify", LABELS, "t", {})
    assert trial(head, TARGETS, scores(), scores(unsure=5), way=PLAIN, max_loss=0.0).unsure == 0.25


INT8 = Way("openvino", "int8", calibration="ab" * 8)


def _tried(way: Way, *, holds: bool = True) -> Trial:
    return Trial(way, {"a": (9, 1.0, 0.998)}, 0.002, 0.0, holds, "" if holds else "a loses")


@pytest.mark.parametrize(
    ("rows", "trials", "way", "reason"),
    [
        ([(INT8, 1.7, "")], [_tried(INT8)], INT8, "1.70 times as fast as openvino fp32, and no class loses more"),
        ([(INT8, 1.19, "")], [_tried(INT8)], PLAIN, "openvino int8 is 1.19 times as fast, 1.2 is asked for"),
        ([(INT8, 1.7, "")], [_tried(INT8, holds=False)], PLAIN, "openvino int8 is 1.70 times as fast, but a loses"),
        ([(INT8, 1.7, "")], [], PLAIN, "openvino int8 was not tried on test images"),
        ([(INT8, 0.0, "no NNCF")], [], PLAIN, "nothing else runs here (openvino int8: no NNCF)"),
        ([], [], PLAIN, "nothing else runs here"),
        ([(ORT, 1.3, ""), (INT8, 1.7, "")], [_tried(ORT), _tried(INT8)], INT8, "1.70 times"),
        ([(ORT, 1.3, ""), (INT8, 1.7, "")], [_tried(ORT), _tried(INT8, holds=False)], ORT, "1.30 times"),
        ([(ORT, 1.1, ""), (INT8, 1.7, "")], [_tried(ORT), _tried(INT8, holds=False)], PLAIN,
         "openvino int8 is 1.70 times as fast, but a loses; onnxruntime fp32 is 1.10 times as fast, 1.2 is asked for"),
    ],
    ids=["faster and holds", "hardly faster", "a class loses", "untried", "does not run", "alone", "the fastest",
         "the next one", "neither"],
)  # fmt: skip
def test_the_fastest_way_that_holds_is_preferred(
    rows: list[tuple[Way, float, str]], trials: list[Trial], way: Way, reason: str
) -> None:
    ways = [WayRow(PLAIN, "fp32", times=1.0), *(WayRow(one, "", times=times, reason=why) for one, times, why in rows)]
    found = prefer(TrunkRow("net", False, 2, 4, 9, PLAIN, tuple(ways)), trials)
    assert (found[0], found[1].startswith(reason)) == (way, True), found
