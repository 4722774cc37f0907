"""Figures of boxes: COCO's own, recall and precision of what is accepted, intervals by bootstrap."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.heads.base import Scores, Things
from trunkline.algorithms.metrics import Metrics, evaluate
from trunkline.algorithms.metrics.detect import Ranked, map50
from trunkline.core.types.dataset import Box, Boxed

LABELS = ("crack", "dent")


def things(*rows: tuple[float, float, float, float, int, float], least: float = 0.5) -> Things:
    """Rows x1, y1, x2, y2, label, score."""
    ranked = sorted(rows, key=lambda row: -row[5])
    values = np.array(ranked, np.float64).reshape(-1, 6)
    return Things(values[:, :4], values[:, 4].astype(int), values[:, 5], values[:, 5] >= least)


def scores_of(found: list[Things]) -> Scores:
    shape = (len(found), len(LABELS))
    return Scores(np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(len(found), bool), things=tuple(found))


def drawn(seed: int, images: int = 30) -> tuple[list[Things], list[Boxed]]:
    """Boxes that lie about on things: some shifted, some missed, some on nothing; pictures of different sizes."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        width, height = (int(side) for side in rng.integers(80, 640, 2))
        boxes, rows = [], []
        for _ in range(rng.integers(0, 5)):
            x, y = rng.uniform(0, 0.7, 2)
            w, h = rng.uniform(0.05, 0.3, 2)
            label = int(rng.integers(2))
            boxes.append(Box(LABELS[label], x * width, y * height, (x + w) * width, (y + h) * height))
            if rng.random() < 0.8:
                dx, dy = rng.normal(0, 0.12, 2) * (w, h)
                rows.append((x + dx, y + dy, x + w + dx, y + h + dy, label, float(rng.uniform(0.1, 1))))
        for _ in range(rng.integers(0, 3)):
            x, y = rng.uniform(0, 0.7, 2)
            rows.append((x, y, x + 0.2, y + 0.2, int(rng.integers(2)), float(rng.uniform(0, 0.8))))
        found.append(things(*rows))
        truth.append(Boxed(width, height, tuple(boxes)))
    return found, truth


def measured(found: list[Things], truth: list[Boxed], **more: Any) -> Metrics:
    return evaluate("detect", LABELS, scores_of(found), truth, **more)


def coco(found: list[Things], truth: list[Boxed]) -> np.ndarray:
    """The twelve figures of pycocotools, by its own files' layout."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows, results = [], []
    for image, (one, target) in enumerate(zip(found, truth, strict=True)):
        for b in target.boxes:
            bbox = [b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1]
            rows.append({"id": len(rows) + 1, "image_id": image, "category_id": LABELS.index(b.label), "bbox": bbox,
                         "area": b.area, "iscrowd": 0})  # fmt: skip
        for (x1, y1, x2, y2), label, score in zip(
            one.boxes * ([target.width, target.height] * 2), one.labels, one.scores, strict=True
        ):
            results.append(
                {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": image} for image in range(len(truth))], "annotations": rows,
            "categories": [{"id": 0, "name": "crack"}, {"id": 1, "name": "dent"}],
        }  # fmt: skip
        known.createIndex()
        judge = COCOeval(known, known.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return np.asarray(judge.stats)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_coco(seed: int) -> None:
    found, truth = drawn(seed)
    figures, expected = measured(found, truth, intervals=False).values, coco(found, truth)
    assert figures["map50"] == pytest.approx(expected[1], abs=1e-6)
    got = [figures[name] for name in ("map", "map75", "map_small", "map_medium", "map_large")]
    np.testing.assert_allclose(got, [value if value >= 0 else np.nan for value in expected[[0, 2, 3, 4, 5]]], atol=1e-9)


def test_rates_are_of_what_is_accepted() -> None:
    truth = [
        Boxed(100, 100, (Box("crack", 0, 0, 50, 50), Box("dent", 50, 50, 100, 100))),
        Boxed(100, 100, (Box("crack", 0, 0, 50, 50),)),
        Boxed(100, 100),
    ]
    found = [
        things((0, 0, 0.5, 0.5, 0, 0.9), (0, 0, 0.5, 0.45, 0, 0.8), (0.5, 0.5, 1, 1, 0, 0.7), (0.5, 0.5, 1, 1, 1, 0.4)),
        things((0, 0, 0.5, 0.5, 0, 0.6)),
        things((0, 0, 0.5, 0.5, 1, 0.6)),
    ]
    result = measured(found, truth)
    assert {name: result.values[name] for name in ("recall", "precision", "f1")} == pytest.approx(
        {"recall": 2 / 3, "precision": 2 / 5, "f1": 0.5}  # the dent was found, and not accepted
    )
    rows = [(row.label, row.n, row.recall, row.precision, row.false) for row in result.per_class]
    assert rows == [("crack", 2, 1.0, 0.5, 2), ("dent", 1, 0.0, 0.0, 1)]
    assert result.per_class[1].average_precision == pytest.approx(0.5)
    assert result.notes["ap50_min"] == "the worst label is dent"
    assert result.values["recall_min"] == 0.0


def test_intervals_hold_the_value_and_narrow_with_pictures() -> None:
    few, many = (measured(*drawn(3, images)).intervals["map50"] for images in (20, 200))
    value = measured(*drawn(3, 20)).values["map50"]
    assert few[0] <= value <= few[1]
    assert many[1] - many[0] < 0.6 * (few[1] - few[0])
    assert measured(*drawn(3, 20)).intervals["map50"] == few


def test_weights_are_repetitions() -> None:
    found, truth = drawn(1, 12)
    weights = np.random.default_rng(0).integers(0, 3, 12)
    again = np.repeat(np.arange(12), weights)
    plain = Ranked.of(LABELS, [found[i] for i in again], [truth[i] for i in again])
    weighted = map50(Ranked.of(LABELS, found, truth), weights[None].astype(np.float32))
    assert weighted[0] == pytest.approx(map50(plain, np.ones((1, len(again)), np.float32))[0], abs=5e-3)  # ties


NOTHING = things()


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([NOTHING], [Boxed(9, 9, (Box("dent", 0, 0, 5, 5),))], {"map50": 0.0, "map": 0.0, "recall": 0.0}),
        ([things((0, 0, 0.5, 0.5, 0, 0.9))], [Boxed(9, 9)], {"map50": np.nan, "map": np.nan, "precision": 0.0}),
        ([NOTHING], [Boxed(9, 9)], {"map50": np.nan, "recall": np.nan, "precision": np.nan, "f1": np.nan}),
    ],
    ids=["nothing said", "nothing there", "neither"],
)
def test_what_cannot_be_measured_is_no_number(
    found: list[Things], truth: list[Boxed], expected: dict[str, float]
) -> None:
    values = measured(found, truth).values
    np.testing.assert_equal({name: values[name] for name in expected}, expected)


def test_a_label_that_the_head_does_not_know_counts_nowhere() -> None:
    truth = [Boxed(10, 10, (Box("crack", 0, 0, 5, 5), Box("rust", 5, 5, 9, 9)))]
    assert measured([things((0, 0, 0.5, 0.5, 0, 0.9))], truth).values["recall"] == 1.0
