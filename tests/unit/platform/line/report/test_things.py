"""What a detect model says of a picture beside what is in it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from trunkline.algorithms.heads.base import Scores, Things
from trunkline.algorithms.metrics import evaluate
from trunkline.core.types.dataset import Box, Boxed
from trunkline.core.types.head import TrainedHead
from trunkline.platform.line.gate import Measured
from trunkline.platform.line.report.assemble import doubted, right, wrong
from trunkline.platform.line.report.things import Compared, compared, side_by_side

LABELS = ("crack", "dent")
CORNER, MIDDLE = (0.0, 0.0, 0.5, 0.5), (0.4, 0.4, 0.9, 0.9)


def things(*rows: tuple[tuple[float, ...], int, float]) -> Things:
    boxes = np.array([row[0] for row in rows], np.float64).reshape(-1, 4)
    scores = np.array([row[2] for row in rows])
    return Things(boxes, np.array([row[1] for row in rows], int), scores, scores >= 0.5)


def measured() -> Measured:
    truth = (
        Boxed(100, 50, (Box("crack", 0, 0, 50, 25),)),
        Boxed(100, 50, (Box("crack", 0, 0, 50, 25), Box("dent", 40, 20, 90, 45))),
        Boxed(100, 50),
        Boxed(100, 50, (Box("crack", 0, 0, 50, 25), Box("dent", 40, 20, 90, 45))),
    )
    found = (
        things((CORNER, 0, 0.9), (MIDDLE, 1, 0.3)),  # right; what is not accepted does not count
        things((CORNER, 1, 0.8), (MIDDLE, 1, 0.7)),  # one of them by the wrong label
        things((CORNER, 0, 0.6), (MIDDLE, 0, 0.55)),
        things((CORNER, 0, 0.9), (MIDDLE, 1, 0.6)),
    )
    none = np.zeros((4, 2), np.float32)
    scores = Scores(none, none.astype(bool), np.array([True, False, False, False]), things=found)
    head = TrainedHead("detect", LABELS, "0" * 64, {})
    return Measured(head, scores, truth, evaluate("detect", LABELS, scores, truth))


def test_pictures_are_ranked_by_their_mistakes() -> None:
    assert compared(measured()) == [
        Compared(1, 1, 1, 1, 0.8),
        Compared(2, 0, 0, 2, 0.6),
        Compared(0, 1, 0, 0, 0.9),
        Compared(3, 2, 0, 0, 0.9),
    ]


def test_they_are_told_in_words() -> None:
    made = measured()
    assert [(one.row, one.said) for one in wrong(made)] == [(1, "1 found, 1 missed, 1 false box"), (2, "2 false boxes")]
    assert [(one.row, one.said) for one in right(made)] == [(3, "2 found"), (0, "1 found")]
    assert [(one.row, one.said) for one in doubted(made)] == [(0, "1 found")]
    assert Compared(0, 0, 0, 0, 0.0).said == "0 found"


def test_truth_is_left_and_answers_are_right() -> None:
    made = measured()
    both = side_by_side(Image.new("RGB", (100, 50)), LABELS, made.targets[0], (made.scores.things or ())[0])  # type: ignore[arg-type]
    pixels = np.asarray(both, int).max(axis=2) > 60
    left, gap, answer = pixels[:, :100], pixels[:, 100:104], pixels[:, 104:]
    assert both.size == (204, 50)
    assert gap.all()
    for half in (left, answer):
        assert half[25, 5:45].all()  # the lower edge of the crack
        assert not half[30:, 60:].any()  # the dent was not accepted
