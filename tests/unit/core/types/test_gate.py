"""Gate reports: the verdict is that of the checks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trunkline.core.types.gate import GateCheck, GateReport, headline, said

GOOD = GateCheck("accuracy", 0.97, 0.95, 0.99, ">= 0.96", "passed", "thin", "note")
BAD = replace(GOOD, name="recall_min", verdict="failed")


@pytest.mark.parametrize(
    ("checks", "passed", "failed"), [((), True, []), ((GOOD,), True, []), ((GOOD, BAD), False, [BAD])]
)
def test_verdict(checks: tuple[GateCheck, ...], passed: bool, failed: list[GateCheck]) -> None:
    report = GateReport("head", "data", checks, {}, {})
    assert (report.passed, list(report.failed)) == (passed, failed)


@pytest.mark.parametrize(
    ("task", "metrics", "name"),
    [
        ("classify", {"accuracy": 0.9, "recall_min": 0.8}, "accuracy"),
        ("classify", {"accuracy": None}, "accuracy"),
        ("multilabel", {}, "f1_macro"),
        ("anomaly", {"auroc": 0.9, "false_reject_rate": 0.1}, "auroc"),
        ("anomaly", {"auroc": math.nan, "false_reject_rate": 0.1, "recall": math.nan}, "false_reject_rate"),
        ("anomaly", {"auroc": None, "false_reject_rate": None, "recall": 0.9}, "recall"),
        ("anomaly", {"auroc": None}, "auroc"),
        ("unknown", {"accuracy": 0.9}, ""),
    ],
)
def test_the_figure_that_stands_for_a_model(task: str, metrics: dict[str, float | None], name: str) -> None:
    assert headline(task, metrics) == name


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5000"), (0.0, "0.0000"), (None, "not measured"), (math.nan, "not measured")]
)
def test_a_figure_as_text(value: float | None, text: str) -> None:
    assert said(value) == text


def test_json_of_a_check() -> None:
    assert GOOD.to_json() == {
        "name": "accuracy", "value": 0.97, "low": 0.95, "high": 0.99, "limit": ">= 0.96", "verdict": "passed",
        "evidence": "thin", "note": "note", "machine": False,
    }  # fmt: skip
