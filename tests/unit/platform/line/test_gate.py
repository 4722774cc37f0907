"""The gate: a limit is met by the value, evidence is thin where the interval straddles it, champions are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics import evaluate
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import Limit, Scenario
from trunkline.platform.line import gate
from trunkline.platform.line.gate import PRIMARY, Measured

LABELS = {"classify": ("dent", "good"), "multilabel": ("dent", "scratch"), "anomaly": ("good", "anomaly")}


def measured(task: str, probabilities: Sequence[Sequence[float]], targets: Sequence[tuple[str, ...]]) -> Measured:
    """A head's answers without a head: what it accepts is what has at least 0.5."""
    head = TrainedHead(task, LABELS[task], "t" * 64, {})
    table = np.asarray(probabilities, np.float32)
    anomaly = table[:, 1] if task == "anomaly" else None
    scores = Scores(table, table >= 0.5, np.zeros(len(table), bool), anomaly)
    return Measured(head, scores, tuple(targets), evaluate(task, head.labels, scores, targets))


def classified(right: int, of: int) -> Measured:
    """The first `right` of `of` dents are found."""
    rows = [(0.9, 0.1)] * right + [(0.2, 0.8)] * (of - right)
    return measured("classify", rows, [("dent",)] * of)


def scenario(task: str = "classify", **gates: str) -> Scenario:
    return Scenario.model_validate({"name": "steel", "task": task, "data": "x", "gates": gates})


@pytest.mark.parametrize(
    ("limit", "value", "low", "high", "verdict", "evidence"),
    [
        (">= 0.9", 0.95, 0.92, 0.98, "passed", "ok"),
        (">= 0.9", 0.95, 0.85, 0.98, "passed", "thin"),
        (">= 0.9", 0.85, 0.80, 0.95, "failed", "thin"),
        (">= 0.9", 0.80, 0.70, 0.89, "failed", "ok"),
        ("<= 20", 20.0, 19.0, 21.0, "passed", "thin"),
        ("> 0.9", 0.9, 0.9, 0.9, "failed", "ok"),
        ("< 5", 4.0, 4.0, 4.0, "passed", "ok"),
        (">= 0", math.nan, math.nan, math.nan, "failed", "ok"),
    ],
)
def test_a_limit_is_met_by_the_value(
    limit: str, value: float, low: float, high: float, verdict: str, evidence: str
) -> None:
    made = gate.check("accuracy", Limit.parse(limit), value, low, high, "note")
    assert repr(made) == repr(GateCheck("accuracy", value, low, high, limit, verdict, evidence, "note"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "machine"), [("latency_ms_p95", True), ("cpu_minutes", True), ("bundle_kb", False), ("accuracy", False)]
)
def test_figures_of_the_machine_are_marked(name: str, machine: bool) -> None:
    assert gate.check(name, Limit.parse("<= 1"), 1.0, 1.0, 1.0).machine is machine


def test_only_the_quality_gates_that_were_asked_for_are_checked() -> None:
    asked = scenario(
        accuracy=">= 0.7", recall_min=">= 0.9", latency_ms_p95="<= 1", bundle_kb="<= 1", champion="no-worse"
    )
    low, high = classified(8, 10).metrics.intervals["accuracy"]
    checks = gate.quality_checks(asked, classified(8, 10))
    assert [(c.name, c.verdict, c.evidence, round(c.value, 6)) for c in checks] == [
        ("accuracy", "passed", "thin", 0.8),
        ("recall_min", "failed", "thin", 0.8),
    ]
    assert (checks[0].low, checks[0].high, checks[1].note) == (
        low,
        high,
        "worst class: dent; without good (no test images)",
    )


@pytest.mark.parametrize("task", PRIMARY)
def test_every_gate_of_a_task_has_a_figure(task: str) -> None:
    from trunkline.core.types.scenario import GATE_NAMES

    rows = [(0.9, 0.1), (0.2, 0.8)] * 3
    answers = measured(task, rows, [(LABELS[task][0],), (LABELS[task][1],)] * 3)
    asked = scenario(task, **dict.fromkeys(GATE_NAMES[task], ">= 0"))
    assert [check.name for check in gate.quality_checks(asked, answers)] == list(GATE_NAMES[task])
    assert PRIMARY[task] in GATE_NAMES[task]


def test_measure_refuses_features_of_another_trunk() -> None:
    table = FeatureTable(("a",), np.zeros((1, 3), np.float32), "u" * 64)
    with pytest.raises(ValueError, match=f"expected features of trunk {'t' * 64}, got {'u' * 64}"):
        gate.measure(classified(1, 1).head, table, [("dent",)])


def test_measure_scores_the_head_on_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = classified(3, 4)
    seen: list[Any] = []
    monkeypatch.setattr(gate, "score", lambda head, table: seen.append((head, table)) or expected.scores)
    table = FeatureTable(("a",) * 4, np.zeros((4, 3), np.float32), "t" * 64)
    made = gate.measure(expected.head, table, list(expected.targets))
    assert (made, seen) == (expected, [(expected.head, table)])


@pytest.mark.parametrize(
    ("new", "old", "difference", "verdict", "evidence"),
    [
        (90, 90, 0.0, "passed", "ok"),
        (95, 90, 0.05, "passed", "ok"),
        (91, 90, 0.01, "passed", "ok"),
        (89, 90, -0.01, "failed", "thin"),
        (60, 90, -0.3, "failed", "ok"),
    ],
)
def test_a_challenger_is_compared_on_the_champions_images(
    new: int, old: int, difference: float, verdict: str, evidence: str
) -> None:
    made = gate.champion_check(classified(new, 100), classified(old, 100), "steel@1 (champion)")
    assert (round(made.value, 9), made.verdict, made.evidence, made.limit, made.machine) == (
        difference, verdict, evidence, "no-worse", False,
    )  # fmt: skip
    assert made.low <= made.value <= made.high
    assert made.note == (
        f"accuracy {new / 100:.4f} against {old / 100:.4f} of steel@1 (champion) on its 100 frozen test images"
    )


def test_the_interval_of_a_comparison_is_paired_and_seeded() -> None:
    """Two heads that are wrong on the same ten images differ by nothing, however uncertain each is alone."""
    same = gate.compare_paired(classified(90, 100), classified(90, 100))
    assert same == (0.0, 0.0, 0.0)
    difference, low, high = gate.compare_paired(classified(95, 100), classified(90, 100))
    assert (difference, low, high) == gate.compare_paired(classified(95, 100), classified(90, 100))
    # Five images of a hundred changed: the bootstrap of a share of 5 % is 0.05 +- 1.96 sqrt(0.05 * 0.95 / 100).
    assert (difference, low, high) == (
        pytest.approx(0.05),
        pytest.approx(0.01, abs=0.01),
        pytest.approx(0.09, abs=0.01),
    )


@pytest.mark.parametrize("task", ["multilabel", "anomaly"])
def test_other_tasks_are_compared_by_their_own_figure(task: str) -> None:
    targets = [(LABELS[task][0],), (LABELS[task][1],)] * 10
    good = measured(task, [(0.9, 0.1), (0.2, 0.8)] * 10, targets)
    bad = measured(task, [(0.1, 0.9), (0.8, 0.2)] * 10, targets)
    difference, low, high = gate.compare_paired(good, bad)
    figures = (good.metrics.values[PRIMARY[task]], bad.metrics.values[PRIMARY[task]])
    assert (figures, difference, low, high) == ((1.0, 0.0), 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("gates", "times", "figures", "verdicts"),
    [
        ({}, [], {}, []),
        ({"latency_ms_p95": "<= 20"}, [], {}, []),
        ({}, [10.0], {"latency_ms_p50": 10.0, "latency_ms_p95": 10.0}, []),
        (
            {"latency_ms_p95": "<= 20"},
            [10.0] * 19 + [30.0],
            {"latency_ms_p50": 10.0, "latency_ms_p95": 11.0},
            [("passed", "thin")],
        ),
        (
            {"latency_ms_p95": "<= 20"},
            [30.0] * 20,
            {"latency_ms_p50": 30.0, "latency_ms_p95": 30.0},
            [("failed", "ok")],
        ),
    ],
)
def test_latency(
    gates: dict[str, str], times: list[float], figures: dict[str, float], verdicts: list[tuple[str, str]]
) -> None:
    found, checks = gate.latency_checks(scenario(**gates), times)
    assert found == pytest.approx(figures)
    assert [(c.verdict, c.evidence) for c in checks] == verdicts
    assert [c.note for c in checks] == [f"p95 of {len(times)} single images, bytes to answer"] * len(checks)


def test_the_report_holds_everything_that_was_measured() -> None:
    answers = classified(8, 10)
    checks = gate.quality_checks(scenario(accuracy=">= 0.7"), answers)
    assert gate.report(answers, "d" * 64, checks) == GateReport(
        answers.head.digest(), "d" * 64, tuple(checks), answers.metrics.values, answers.metrics.intervals
    )
