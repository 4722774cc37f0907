import numpy as np
import pytest

from trunkline.algorithms.metrics.types import ClassRow
from trunkline.platform.line.report import figures
from trunkline.platform.line.report.data import ClassFigures, Curve, CurvePoint, Figure, Histogram


def test_class_figures_tell_nothing_measured_from_nothing_right() -> None:
    none = ClassRow("dent", 0, precision=0.0, recall=np.nan, f1=np.nan, precision_interval=(0.0, 0.4))
    some = ClassRow(
        "burr", 9, precision=1.0, recall=0.9, f1=0.94, precision_interval=(0.7, 1.0), recall_interval=(0.6, 0.98)
    )
    first, second = figures.class_figures([none, some])
    assert (first.count, first.precision, np.isnan(first.recall.value)) == (0, Figure(0.0, 0.0, 0.4), True)
    assert second == ClassFigures("burr", 9, Figure(0.9, 0.6, 0.98), Figure(1.0, 0.7, 1.0))


def test_sure_curve_answers_ties_together() -> None:
    score = np.array([0.9, 0.8, 0.8, 0.5])
    right = np.array([True, True, False, False])
    assert figures.sure_curve(score, right, score < 0.7, 0.7) == Curve(
        "sure",
        (CurvePoint(1.0, 0.5, 0.5), CurvePoint(0.75, 2 / 3, 0.8), CurvePoint(0.25, 1.0, 0.9)),
        CurvePoint(0.75, 2 / 3, 0.7),
    )


def test_reject_curve() -> None:
    score = np.array([1.0, 2.0, 3.0, 4.0])
    anomaly = np.array([False, False, True, True])
    assert figures.reject_curve(score, anomaly, 2.0) == Curve(
        "reject",
        (
            CurvePoint(1.0, 0.0, 1.0),
            CurvePoint(0.5, 0.0, 2.0),
            CurvePoint(0.0, 0.0, 3.0),
            CurvePoint(0.0, 0.5, 4.0),
            CurvePoint(0.0, 1.0, np.inf),
        ),
        CurvePoint(0.5, 0.0, 2.0),
    )


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(5000)
    curve = figures.sure_curve(score, score > 0.3, score < 0.5)
    assert (len(curve.points), curve.points[0].x, curve.points[-1].x) == (120, 1.0, 1 / 5000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.sure_curve(np.zeros(0), np.zeros(0, bool), np.zeros(0, bool)),
        lambda: figures.sure_curve(np.zeros(2), np.zeros(3, bool), np.zeros(2, bool)),
        lambda: figures.reject_curve(np.zeros(2), np.zeros(2, bool), 0.5),
        lambda: Histogram(1.0, 1.0, (1,), (1,), 1.0),
        lambda: Histogram(0.0, 1.0, (1, 2), (1,), 1.0),
    ],
)
def test_what_makes_no_curve_is_refused(call) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()


def test_histogram_counts_every_picture_and_holds_the_threshold() -> None:
    score = np.array([1.0, 1.0, 2.0, 5.0])
    made = figures.histogram(score, np.array([False, False, False, True]), 7.0, (6.5, 7.5))
    assert (sum(made.good), sum(made.anomaly), made.low < 1.0, made.high > 7.0) == (3, 1, True, True)


def test_histogram_of_one_score() -> None:
    made = figures.histogram(np.ones(3), np.zeros(3, bool), 1.0)
    assert (made.low, made.high, sum(made.good)) == (0.0, 2.0, 3)
