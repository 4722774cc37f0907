import re

import pytest

from trunkline.platform.line.report import charts
from trunkline.platform.line.report.data import Curve, CurvePoint, Figure, Histogram

HOSTILE = '<script>"&划痕'


@pytest.mark.parametrize(
    ("values", "floor"),
    [([0.97, 0.995], 0.95), ([1.0], 0.99), ([0.3], 0.0), ([], 0.0), ([float("nan"), 0.85], 0.8), ([-0.1], 0.0)],
)
def test_floor_of(values: list[float], floor: float) -> None:
    assert charts.floor_of(values) == floor


def test_interval_places_value_whisker_and_limit() -> None:
    drawn = charts.interval(Figure(0.95, 0.925, 0.975), floor=0.9, limit=0.96)
    assert re.findall(r'class="(\w+)" x1="([\d.]+%?)" x2="([\d.]+%)"', drawn) == [
        ("axis", "0", "100%"),
        ("lim", "60.00%", "60.00%"),
        ("band", "25.00%", "75.00%"),
        ("cap", "25.00%", "25.00%"),
        ("cap", "75.00%", "75.00%"),
    ]
    assert 'cx="50.00%"' in drawn
    assert 'aria-label="95.0\u00a0%, 95 % interval 92.5 to 97.5\u00a0%"' in drawn


def test_interval_of_what_was_not_measured() -> None:
    assert "not measured" in charts.interval(Figure(float("nan"), 0.0, 1.0), floor=0.5)


def test_confusion_is_a_table_with_headers_and_tints() -> None:
    drawn = charts.confusion(("dent", HOSTILE), ((9, 1), (0, 0)))
    assert re.findall(r'<th scope="row"[^>]*>([^<]*)</th>', drawn) == ["dent", "&lt;script&gt;&#34;&amp;划痕"]
    assert drawn.count('<th scope="col">') == 2
    assert re.findall(r"<td(?: class=\"[rwd\d ]*\")?>\d*</td>", drawn) == [
        '<td class="r9 d">9</td>',
        '<td class="w1">1</td>',
        "<td></td>",
        '<td class="d">0</td>',
    ]
    assert "<script>" not in drawn


def test_many_classes_are_sorted_by_mix_ups_and_limited() -> None:
    counts = [[5 if i == j else 0 for j in range(130)] for i in range(130)]
    counts[120][7] = 3
    shown = charts.shown_classes(counts)
    assert (len(shown), shown[:3]) == (100, [7, 120, 0])
    assert charts.shown_classes(counts[:0]) == []


def test_mix_ups_come_most_often_first() -> None:
    assert charts.mix_ups(("a", "b", "c"), ((5, 1, 0), (0, 5, 4), (1, 0, 5))) == [
        ("b", "c", 4),
        ("a", "b", 1),
        ("c", "a", 1),
    ]


def texts(drawn: str, part: str) -> list[str]:
    found = re.search(rf'<div class="{part}"[^>]*>(.*?)</div>', drawn)
    assert found
    return re.findall(r">([^<>]+)</span>", found[1])


def test_curve_marks_where_the_model_stands() -> None:
    points = (CurvePoint(1.0, 0.9), CurvePoint(0.8, 0.95), CurvePoint(0.6, 1.0))
    drawn = charts.curve(Curve("sure", points, CurvePoint(0.8, 0.95)))
    assert 'class="dot" style="left:60.00%;bottom:50.00%"' in drawn
    assert texts(drawn, "xaxis") == ["50 %", "60 %", "70 %", "80 %", "90 %", "100 %"]
    assert texts(drawn, "yaxis") == ["90 %", "92 %", "94 %", "96 %", "98 %", "100 %"]


def test_reject_curve_zooms_on_the_operating_point_and_falls_straight_at_equal_x() -> None:
    points = (CurvePoint(0.5, 0.0), CurvePoint(0.0, 0.02), CurvePoint(0.0, 1.0))
    drawn = charts.curve(Curve("reject", points, CurvePoint(0.0, 0.02)))
    assert texts(drawn, "xaxis") == ["0 %", "1 %", "2 %", "3 %", "4 %", "5 %"]
    assert 'points="0.00,-1900.00 0.00,60.00 1000.00,100.00"' in drawn


def test_thresholds_are_told_in_numbers_and_the_models_own_among_them() -> None:
    points = tuple(CurvePoint(1 - n / 10, 0.9 + n / 100, n / 10) for n in range(10))
    own = CurvePoint(0.8, 0.95, 0.25)
    names, rows = charts.thresholds(Curve("sure", points, own))
    assert names == ("Pictures it answers itself", "Of those, right")
    assert [(text, point.x, mine) for text, point, mine in rows] == [
        ("0", 1.0, False), ("0.1", 0.9, False), ("0.2", 0.8, False), ("0.25", 0.8, True), ("0.4", 0.6, False),
        ("0.5", 0.5, False),
    ]  # fmt: skip
    near = Curve(
        "sure", (CurvePoint(1.0, 0.9, 0.99998), CurvePoint(0.9, 1.0, 0.999996)), CurvePoint(0.95, 1.0, 0.99999)
    )
    assert [text for text, _, _ in charts.thresholds(near)[1]] == ["0.99998", "0.99999", "0.999996"]
    assert charts.thresholds(Curve("sure", (CurvePoint(1.0, 0.9),), CurvePoint(1.0, 0.9)))[1] == []


def test_a_model_that_answers_nothing_has_no_dot() -> None:
    points = (CurvePoint(1.0, 0.9),)
    assert 'class="dot"' not in charts.curve(Curve("sure", points, CurvePoint(0.0, float("nan"))))


def test_histogram_draws_good_up_and_flawed_down() -> None:
    drawn = charts.histogram(Histogram(0.0, 4.0, (4, 0), (1, 2), 2.0, (1.0, 3.0)))
    assert re.findall(r'rect class="(\w+)" x="[\d.]+" width="[\d.]+" y="([\d.]+)" height="([\d.]+)"', drawn) == [
        ("unsure", "0", "100"),
        ("good", "2.00", "48.00"),
        ("bad", "50", "12.00"),
        ("bad", "50", "24.00"),
    ]
    assert '<line class="lim" x1="50.00" x2="50.00"' in drawn
    assert "4 good and 3 flawed pictures by score, threshold 2" in drawn
