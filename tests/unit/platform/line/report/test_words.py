import math

import numpy as np
import pytest

from tests.unit.algorithms.metrics import boxed
from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics import METRICS, evaluate
from trunkline.core.types.gate import GateCheck
from trunkline.platform.line.report import words


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9972, "99.7 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.9996, "99.96 %"),
        (0.0004, "0.04 %"),
        (1 - 1e-9, "over 99.999 %"),
        (1e-9, "under 0.001 %"),
        (math.nan, "not measured"),
    ],
)
def test_percent_says_100_only_of_all(value: float, text: str) -> None:
    assert plain(words.percent(value)) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.99, 0.9999, "99.0 to 100 %"),
        (0.0001, 0.031, "0 to 3.1 %"),
        (0.0, 0.0002, "0 to 0.02 %"),
        (math.nan, 1.0, "not measured"),
    ],
)
def test_percent_range(low: float, high: float, text: str) -> None:
    assert plain(words.percent_range(low, high)) == text


def check(name: str, value: float, limit: str, low: float | None = None, high: float | None = None) -> GateCheck:
    return GateCheck(name, value, value if low is None else low, value if high is None else high, limit, "passed")


@pytest.mark.parametrize(
    ("given", "asked", "measured", "interval"),
    [
        (check("accuracy", 0.9972, ">= 0.99", 0.984, 0.9999), "at least 99 %", "99.7 %", "98.4 to 100 %"),
        (check("accuracy", 0.98996, ">= 0.99"), "at least 99 %", "98.996 %", "exact"),
        (check("false_reject_rate", 0.00503, "<= 0.005"), "at most 0.5 %", "0.503 %", "exact"),
        (check("accuracy", 1 - 1e-9, "> 0.999999"), "more than 99.9999 %", "over 99.999 %", "exact"),
        (check("log_loss", 0.0002, "<= 0.1", 0.00012, 0.00034), "at most 0.1", "0.0002", "0.0001 to 0.0003"),
        (check("auroc", 0.99996, "> 0.95", 0.98, 1.0), "more than 0.95", "0.99996", "0.980 to 1.000"),
        (check("auroc", 0.991, "> 0.95", 0.98, 0.998), "more than 0.95", "0.991", "0.980 to 0.998"),
        (check("latency_ms_p95", 12.31, "< 20", 11.9, 13.2), "less than 20 ms", "12.3 ms", "11.9 to 13.2 ms"),
        (check("bundle_kb", 41.2, "<= 64"), "at most 64 KB", "41.2 KB", "exact"),
        (check("cpu_minutes", 0.123, "<= 10"), "at most 10 min", "0.12 min", "exact"),
        (check("champion", 0.0028, "no-worse", -0.002, 0.008), "no worse", "+0.3 points", "-0.2 to +0.8 points"),
        (check("accuracy", math.nan, ">= 0.9", math.nan, math.nan), "at least 90 %", "not measured", "not measured"),
    ],
)
def test_a_check_in_words(given: GateCheck, asked: str, measured: str, interval: str) -> None:
    got = (words.asked(given), words.measured(given), words.interval(given))
    assert tuple(map(plain, got)) == (asked, measured, interval)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.97, 0.99998], ["0.97", "0.99998"]),
        ([0.999981, 0.999984, 1.0], ["0.999981", "0.999984", "1"]),
        ([0.00012, 12.3456, 12.3456], ["0.00012", "12.35", "12.35"]),
        ([1 - 1e-12], ["1"]),  # seven digits are the most that anyone reads
        ([], []),
    ],
)
def test_thresholds_are_told_apart(values: list[float], texts: list[str]) -> None:
    assert words.apart(values) == texts


@pytest.mark.parametrize(
    ("count", "text"),
    [(412, "412 B"), (42188, "41.2 KB"), (1023 * 1024, "1,023 KB"), (3 << 20, "3 MB"), (5 << 30, "5 GB")],
)
def test_size(count: int, text: str) -> None:
    assert plain(words.size(count)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0041, "0.004 s"), (0.31, "0.31 s"), (12.41, "12.4 s"), (200.9, "3 min 20 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert plain(words.seconds(value)) == text


@pytest.mark.parametrize("task", METRICS.names())
def test_every_figure_that_is_measured_has_words(task: str) -> None:
    labels = ("good", "anomaly")
    table = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    truth = (("good",), ("anomaly",))
    things = boxed.things(table) if task == "detect" else None
    scores = Scores(table, table > 0.5, np.zeros(2, bool), things=things)
    got = evaluate(task, labels, scores, boxed.truth(labels, truth) if task == "detect" else truth)
    plain = [name for name in got.values if words.label_of(name, task) == name.replace("_", " ").capitalize()]
    assert plain == []


def test_unknown_figures_are_named_by_their_own_name() -> None:
    assert (words.label_of("iou_mean"), words.unit_of("iou_mean")) == ("Iou mean", "area")
