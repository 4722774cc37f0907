"""The gate: a limit is met by the value, evidence is thin where the interval straddles it, champions are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.unit.algorithms.metrics import boxed
from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics import evaluate
from trunkline.algorithms.metrics.intervals import newcombe_paired
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.gate import PRIMARY, GateCheck, GateReport
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import Limit, Scenario
from trunkline.platform.line import gate
from trunkline.platform.line.gate import Measured

LABELS = {"classify": ("dent", "good"), "multilabel": ("dent", "scratch"), "anomaly": ("good", "anomaly"),
          "detect": ("dent", "scratch")}  # fmt: skip


def measured(
    task: str, probabilities: Sequence[Sequence[float]], targets: Sequence[tuple[str, ...]], *, unsure: bool = False
) -> Measured:
    """A head's answers without a head: what it accepts is what has at least 0.5."""
    head = TrainedHead(task, LABELS[task], "t" * 64, {})
    table = np.asarray(probabilities, np.float32)
    anomaly = table[:, 1] if task == "anomaly" else None
    things = boxed.things(table) if task == "detect" else None
    scores = Scores(table, table >= 0.5, np.full(len(table), unsure), anomaly, things)
    truth = boxed.truth(LABELS[task], targets) if task == "detect" else tuple(targets)
    return Measured(head, scores, truth, evaluate(task, head.labels, scores, truth))


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
    ],
)
def test_a_limit_is_met_by_the_value(
    limit: str, value: float, low: float, high: float, verdict: str, evidence: str
) -> None:
    made = gate.check("accuracy", Limit.parse(limit), value, low, high, "note")
    assert repr(made) == repr(GateCheck("accuracy", value, low, high, limit, verdict, evidence, "note"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("note", "told"), [("", "not measured"), ("add some", "not measured: add some")])
@pytest.mark.parametrize("limit", [">= 0", "<= 1"])
def test_what_was_not_measured_meets_no_limit(limit: str, note: str, told: str) -> None:
    made = gate.check("accuracy", Limit.parse(limit), math.nan, math.nan, math.nan, note)
    assert (made.verdict, made.evidence, made.note) == ("failed", "ok", told)


@pytest.mark.parametrize(
    ("task", "name", "rows", "targets", "note"),
    [
        ("classify", "recall_min", [(0.9, 0.1)] * 3, [("dent",)] * 3, "not measured: no test image is of good"),
        ("multilabel", "recall_min", [(0.9, 0.1)] * 3, [("dent",)] * 3, "not measured: no test image is of scratch"),
        ("anomaly", "auroc", [(0.9, 0.1)] * 3, [("good",)] * 3, "not measured: no test image is faulty: add some"),
        ("anomaly", "recall", [(0.9, 0.1)] * 3, [("good",)] * 3, "not measured: no test image is faulty: add some"),
    ],
)
def test_a_gate_on_what_the_test_images_lack_does_not_pass(
    task: str, name: str, rows: list[tuple[float, float]], targets: list[tuple[str, ...]], note: str
) -> None:
    (made,) = gate.quality_checks(scenario(task, **{name: ">= 0"}), measured(task, rows, targets))
    assert (made.verdict, math.isnan(made.value), made.note[: len(note)]) == ("failed", True, note)


@pytest.mark.parametrize("task", PRIMARY)
def test_a_model_that_is_unsure_of_everything_passes_nothing(task: str) -> None:
    targets = [(LABELS[task][0],), (LABELS[task][1],)] * 5
    answers = measured(task, [(0.9, 0.1), (0.2, 0.8)] * 5, targets, unsure=True)
    checks = gate.quality_checks(scenario(task, **{PRIMARY[task]: ">= 0.5", "unsure_rate": ">= 0.5"}), answers)
    assert [(c.name, c.value, c.verdict) for c in checks] == [
        (PRIMARY[task], 1.0, "failed"),
        ("unsure_rate", 1.0, "passed"),
    ]
    assert "unsure of every test image" in checks[0].note


@pytest.mark.parametrize(
    ("name", "machine"), [("latency_ms_p95", True), ("cpu_minutes", True), ("bundle_kb", False), ("accuracy", False)]
)
def test_figures_of_the_machine_are_marked(name: str, machine: bool) -> None:
    assert gate.check(name, Limit.parse("<= 1"), 1.0, 1.0, 1.0).machine is machine


def test_only_the_quality_gates_that_were_asked_for_are_checked() -> None:
    asked = scenario(
        accuracy=">= 0.7", recall_min=">= 0.9", latency_ms_p95="<= 1", bundle_kb="<= 1", champion="no-worse"
    )
    answers = measured("classify", [(0.9, 0.1)] * 8 + [(0.2, 0.8)] * 4, [("dent",)] * 10 + [("good",)] * 2)
    low, high = answers.metrics.intervals["accuracy"]
    checks = gate.quality_checks(asked, answers)
    assert [(c.name, c.verdict, c.evidence, round(c.value, 6)) for c in checks] == [
        ("accuracy", "passed", "thin", 0.833333),
        ("recall_min", "failed", "thin", 0.8),
    ]
    assert (checks[0].low, checks[0].high, checks[1].note) == (low, high, "worst class: dent")


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
        (90, 90, 0.0, "passed", "thin"),
        (98, 90, 0.08, "passed", "ok"),
        (91, 90, 0.01, "passed", "thin"),
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


def test_heads_that_never_differ_are_not_certain_to_be_equal() -> None:
    """Newcombe's interval on pairs: narrower than that of either head alone, and no point."""
    difference, low, high = gate.compare_paired(classified(90, 100), classified(90, 100))
    assert (difference, low, high) == pytest.approx((0.0, -0.0353, 0.0353), abs=1e-4)


def random_pair(task: str, first: int, second: int) -> list[Measured]:
    """Answers of two heads, with ties, on so many images of the first label and of the second."""
    rng = np.random.default_rng(0)
    targets = [(LABELS[task][0],)] * first + [(LABELS[task][1],)] * second
    return [measured(task, rng.dirichlet([1, 1], len(targets)).round(1).tolist(), targets) for _ in range(2)]


@pytest.mark.parametrize(("task", "second"), [("multilabel", 20), ("anomaly", 20), ("anomaly", 1), ("detect", 20)])
def test_the_bootstrap_of_a_comparison_is_paired_stratified_and_seeded(
    task: str, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = random_pair(task, 20, second)
    drawn: list[int] = []
    real = gate.quantiles
    monkeypatch.setattr(gate, "quantiles", lambda draws, value: drawn.append(len(draws)) or real(draws, value))
    difference, low, high = gate.compare_paired(one, other)
    assert (difference, low, high) == gate.compare_paired(one, other)
    assert (low < difference < high, drawn) == (True, [1000, 1000]), "a flawed image is in every draw"


@pytest.mark.parametrize("task", ["multilabel", "anomaly", "detect"])
def test_the_bootstrap_is_what_evaluating_each_draw_gives(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = random_pair(task, 12, 3)
    blocks: list[Any] = []
    drawn: list[Any] = []
    resample = gate.resampled_weights
    monkeypatch.setattr(gate, "_RESAMPLES", 50)
    monkeypatch.setattr(gate, "_BLOCK", 15 * 20)
    monkeypatch.setattr(gate, "resampled_weights", lambda *given: blocks.append(resample(*given)) or blocks[-1])
    monkeypatch.setattr(gate, "quantiles", lambda draws, value: drawn.extend(draws) or (0.0, 0.0))
    gate.compare_paired(one, other)
    draws = [np.repeat(np.arange(15), counts.astype(int)) for block in blocks for counts in block]
    assert drawn == pytest.approx([figure(one, rows) - figure(other, rows) for rows in draws], abs=1e-12)
    assert ([len(block) for block in blocks], len({tuple(rows) for rows in draws})) == ([20, 20, 10], 50)


def figure(answers: Measured, rows: np.ndarray) -> float:
    """The primary figure of an evaluation of nothing but these rows."""
    head, targets = answers.head, [answers.targets[row] for row in rows]
    return evaluate(head.task, head.labels, answers.scores.take(rows), targets, intervals=False).values[
        PRIMARY[head.task]
    ]


@pytest.mark.parametrize("task", ["multilabel", "anomaly", "detect"])
def test_other_tasks_are_compared_by_their_own_figure(task: str) -> None:
    targets = [(LABELS[task][0],), (LABELS[task][1],)] * 10
    good = measured(task, [(0.9, 0.1), (0.2, 0.8)] * 10, targets)
    bad = measured(task, [(0.0, 1.0), (1.0, 0.0)] * 10, targets)
    difference, low, high = gate.compare_paired(good, bad)
    figures = (good.metrics.values[PRIMARY[task]], bad.metrics.values[PRIMARY[task]])
    assert (figures, difference, low, high) == ((1.0, 0.0), 1.0, 1.0, 1.0)


def test_without_flawed_images_the_false_rejects_are_compared_as_pairs() -> None:
    new = measured("anomaly", [(0.9, 0.1)] * 40, [("good",)] * 40)
    old = measured("anomaly", [(0.9, 0.1)] * 38 + [(0.1, 0.9)] * 2, [("good",)] * 40)
    made = gate.champion_check(new, old, "steel@1")
    assert (made.verdict, made.evidence) == ("passed", "thin")
    assert (made.value, made.low, made.high) == pytest.approx((0.05, *newcombe_paired(38, 2, 0, 0)))
    assert made.note == "false_reject_rate 0.0000 against 0.0500 of steel@1; no faulty image is there to compare by"


def test_a_comparison_that_cannot_be_measured_does_not_pass() -> None:
    none = measured("multilabel", [(0.9, 0.1)] * 4, [()] * 4)
    made = gate.champion_check(none, none, "steel@1")
    assert (made.verdict, math.isnan(made.value), made.note) == (
        "failed",
        True,
        "f1_macro not measured against not measured of steel@1 on its 4 frozen test images; "
        "no test image has a label: add some",
    )


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
