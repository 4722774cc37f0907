"""Operating points of the three tasks, on scores made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.heads.anomaly import operating_threshold, tail_quantile
from trunkline.algorithms.heads.classify import confidence_threshold
from trunkline.algorithms.heads.multilabel import label_threshold, overlap
from trunkline.core.types.scenario import OperatingPoint

# Ten answers by rising confidence; the first, second and fourth are wrong.
CONFIDENCE = np.linspace(0.50, 0.95, 10)
RIGHT = np.array([0, 0, 1, 0, 1, 1, 1, 1, 1, 1], bool)


@pytest.mark.parametrize(
    ("point", "refused"),
    [
        ({"false_reject_rate": 0.0}, 2),
        ({"false_reject_rate": 0.15}, 4),  # one of seven right answers
        ({"false_accept_rate": 0.34}, 2),  # one of three wrong answers is let through
        ({"false_accept_rate": 0.0}, 4),
        ({"precision": 0.85}, 2),  # 7 of 8
        ({"precision": 1.0}, 4),
        ({"recall": 0.6}, 4),  # 6 of 10 images get a right answer that is sure
        ({"recall": 0.99}, 0),  # cannot be had: refuse nothing
    ],
)
def test_classify_refuses_as_asked(point: dict[str, float], refused: int) -> None:
    threshold = confidence_threshold(CONFIDENCE, RIGHT, OperatingPoint(**point))
    assert int((threshold > CONFIDENCE).sum()) == refused


def test_classify_by_default_is_unsure_of_less_than_even_odds() -> None:
    confidence = np.array([0.3, 0.4, 0.45, 0.8, 0.9])
    assert confidence_threshold(confidence, np.ones(5, bool), OperatingPoint()) == 0.5
    assert confidence_threshold(CONFIDENCE, RIGHT, OperatingPoint()) == pytest.approx(0.55, abs=1e-5)


SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
HAS = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1], bool)


@pytest.mark.parametrize(
    ("point", "accepted"),
    [
        ({"recall": 0.75}, 4),
        ({"recall": 1.0}, 6),
        ({"false_reject_rate": 0.25}, 4),
        ({"precision": 1.0}, 2),
        ({"precision": 0.74}, 4),
        ({"false_accept_rate": 0.0}, 2),
        ({"false_accept_rate": 0.2}, 4),
        ({}, 6),  # F1 of 0.8
    ],
)
def test_multilabel_accepts_as_asked(point: dict[str, float], accepted: int) -> None:
    threshold = label_threshold(SCORES, HAS, OperatingPoint(**point))
    assert int((threshold <= SCORES).sum()) == accepted


def test_multilabel_accepts_nothing_where_the_highest_score_is_wrong() -> None:
    has = np.array([1, 1, 0], bool)
    assert label_threshold(np.array([0.1, 0.2, 0.3]), has, OperatingPoint(false_accept_rate=0.0)) == 1.0


def test_overlap_is_where_both_truths_are() -> None:
    low, high = overlap(SCORES, HAS, 0.55)
    assert 0.4 <= low < 0.55 < high <= 0.7
    assert overlap(SCORES, SCORES > 0.45, 0.45) == (0.45, 0.45)


GOOD = np.linspace(1.0, 2.0, 101)
FAULTY = np.array([1.9, 2.5, 3.0, 3.5])


@pytest.mark.parametrize(
    ("point", "cut"),
    [
        ({"false_reject_rate": 0.1}, 1.9),  # counted
        ({"recall": 1.0}, 1.895),
        ({"recall": 0.75}, 2.25),
        ({"false_accept_rate": 0.25}, 2.25),
        ({"precision": 1.0}, 2.25),
        ({}, 1.895),  # recall 1 at 0.109 false rejects beats recall 0.75 at none
    ],
)
def test_anomaly_cuts_as_asked(point: dict[str, float], cut: float) -> None:
    got, (low, high), note = operating_threshold(GOOD, FAULTY, OperatingPoint(**point))
    assert got == pytest.approx(cut, abs=1e-6)
    assert (low <= got <= high, note) == (True, "")


def test_anomaly_without_faulty_images_holds_false_rejects_and_says_so() -> None:
    asked, _, note = operating_threshold(GOOD, np.zeros(0), OperatingPoint(recall=0.99))
    default, (low, high), silent = operating_threshold(GOOD, np.zeros(0), OperatingPoint())
    assert (asked, silent) == (default, "")
    assert note.startswith("recall needs faulty images")
    assert low < default < high


def test_tail_of_few_images_is_extrapolated() -> None:
    """Exponential scores: the quantile of one in a thousand, from forty images, is beyond the largest seen."""
    rng = np.random.default_rng(0)
    found = np.array([tail_quantile(rng.exponential(1, 40), 0.001) for _ in range(300)])
    assert np.median(found) == pytest.approx(np.log(1000), rel=0.12)
    assert tail_quantile(np.ones(10), 0.01) >= 1.0
