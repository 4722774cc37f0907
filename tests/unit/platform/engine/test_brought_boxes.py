"""From a detector's outputs to boxes in the picture: tables of small cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trunkline.core.errors import InputError
from trunkline.core.types.observation import Prediction
from trunkline.platform.engine.brought_boxes import Outputs, Rules, things

RULES = Rules(("cat", "", "dog"), 0, "xyxy", (1, 1), 0.5, None)


def outputs(boxes: Sequence[Sequence[float]], scores: Any, classes: Any = None, count: float | None = None) -> Outputs:
    return Outputs(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        None if classes is None else np.array(classes, np.float32),
        None if count is None else np.float32(count),
    )


def row(thing: Prediction) -> tuple[Any, ...]:
    return thing.label, round(thing.score, 3), thing.box


@pytest.mark.parametrize(
    ("change", "box", "expected"),
    [
        ({}, [0.1, 0.2, 0.5, 0.75], (20.0, 20.0, 100.0, 75.0)),
        ({"order": "yxyx"}, [0.2, 0.1, 0.75, 0.5], (20.0, 20.0, 100.0, 75.0)),
        ({"size": (50, 400)}, [40, 10, 200, 37.5], (20.0, 20.0, 100.0, 75.0)),
        ({}, [-0.5, -3, 0.25, 9], (0.0, 0.0, 50.0, 100.0)),
        ({}, [1 / 3, 0, 1, 1], (66.67, 0.0, 200.0, 100.0)),
    ],
    ids=["parts", "y first", "pixels of the input", "clipped", "a hundredth"],
)
def test_boxes_in_pixels_of_the_source(change: dict[str, Any], box: list[float], expected: tuple[float, ...]) -> None:
    (seen,) = things(outputs([box], [0.9], [0]), replace(RULES, **change), 100, 200)
    assert seen == Prediction("cat", float(np.float32(0.9)), expected)  # type: ignore[arg-type]


FULL = [0, 0, 1, 1]
LEFT, RIGHT, NEARLY_LEFT = [0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 0.5, 0.9]


@pytest.mark.parametrize(
    ("given", "change", "expected"),
    [
        (outputs([], [], []), {}, []),
        (outputs([LEFT, RIGHT], [0.6, 0.7], [0, 2]), {}, [("dog", 0.7), ("cat", 0.6)]),
        (outputs([LEFT, RIGHT], [0.5, 0.49], [0, 2]), {}, [("cat", 0.5)]),
        (outputs([LEFT, RIGHT], [0.6, 0.7], [1, 0]), {}, [("cat", 0.7)]),
        (outputs([LEFT, RIGHT], [0.6, 0.7], [-1, -2]), {"offset": 2}, [("cat", 0.7)]),
        (outputs([LEFT, RIGHT], [0.6, 0.7], [0, 99], 1), {}, [("cat", 0.6)]),
        (outputs([LEFT], [0.6], [0], 99), {}, [("cat", 0.6)]),
        (outputs([LEFT, RIGHT], [0.6, 0.7], [0, 2], -1), {}, []),
        (outputs([LEFT, RIGHT], [0.6, 0.1], [0, 99]), {}, [("cat", 0.6)]),
        (outputs([LEFT, RIGHT], [[0.6, 0, 0.3], [0, 0, 0.7]]), {}, [("dog", 0.7), ("cat", 0.6)]),
        (outputs([[1, 0, 2, 1], [0.5, 0, 0.5, 1], [0.6, 0, 0.4, 1]], [0.6, 0.7, 0.8], [0, 0, 0]), {}, []),
        (outputs([LEFT], [1.0005], [0]), {}, [("cat", 1.0)]),
        (outputs([LEFT, NEARLY_LEFT], [0.6, 0.7], [0, 0]), {}, [("cat", 0.7), ("cat", 0.6)]),
        (outputs([LEFT, NEARLY_LEFT], [0.6, 0.7], [0, 0]), {"nms": 0.8}, [("cat", 0.7)]),
        (outputs([LEFT, NEARLY_LEFT], [0.6, 0.7], [0, 0]), {"nms": 0.95}, [("cat", 0.7), ("cat", 0.6)]),
        (outputs([LEFT, NEARLY_LEFT], [0.6, 0.7], [0, 2]), {"nms": 0.8}, [("dog", 0.7), ("cat", 0.6)]),
        (outputs([LEFT, RIGHT, FULL], [0.6, 0.7, 0.8], [0, 0, 0]), {"nms": 0.4}, [("cat", 0.8)]),
    ],
    ids=[
        "none", "by score", "at the threshold", "background", "offset", "count", "count too large", "count below 0",
        "unknown class below the threshold", "scores of classes", "outside, thin, turned", "rounding", "no nms", "nms",
        "nms of less overlap", "nms keeps labels apart", "nms by the best",
    ],
)  # fmt: skip
def test_what_is_told(given: Outputs, change: dict[str, Any], expected: list[tuple[str, float]]) -> None:
    found = things(given, replace(RULES, **change), 100, 100)
    assert [row(thing)[:2] for thing in found] == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (outputs([LEFT], [0.6], [3]), r"the graph says class 3, the card has labels for 0 to 2\n  fix: mend `labels`"),
        (outputs([LEFT], [0.6], [-1]), "the graph says class -1"),
        (
            outputs([LEFT], [7.3], [0]),
            r"expected scores in 0\.\.1, the graph gives 7\.3 to 7\.3\n  fix: export it with",
        ),
        (outputs([LEFT], [-0.5], [0]), r"expected scores in 0\.\.1"),
        (outputs([LEFT], [np.nan], [0]), "the graph gives numbers that are not finite"),
        (outputs([[0, 0, np.inf, 1]], [0.6], [0]), "the graph gives numbers that are not finite"),
        (outputs([LEFT], [0.6], [0], np.nan), "expected one count"),
        (outputs([LEFT], [0.6, 0.7], [0]), r"expected scores of 1 boxes, the output has the shape \(2,\)"),
        (outputs([LEFT], [0.6], [0, 1]), r"expected classes of 1 boxes, the output has the shape \(2,\)"),
        (outputs([LEFT], [[0.6]], [0]), r"expected one score a box where classes are an output"),
        (outputs([LEFT], [0.6]), r"expected scores of each class, \(n, classes\)"),
        (Outputs(np.zeros((2, 5)), np.zeros(2), np.zeros(2), None), r"expected boxes of shape \(n, 4\), .* \(2, 5\)"),
    ],
)
def test_outputs_that_are_not_what_the_card_says_are_refused(given: Outputs, said: str) -> None:
    with pytest.raises(InputError, match=said):
        things(given, RULES, 100, 100)


def test_a_picture_full_of_boxes_keeps_the_best_thousand() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.9, (3000, 2))
    scores = rng.uniform(0.5, 1, 3000)
    given = outputs(np.hstack([corners, corners + 0.01]).tolist(), scores, np.zeros(3000))
    found = things(given, replace(RULES, nms=0.99), 1000, 1000)
    assert [thing.score for thing in found] == sorted(np.float32(scores).tolist(), reverse=True)[:1000]
