"""Gate reports: the verdict is that of the checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trunkline.core.types.gate import GateCheck, GateReport

GOOD = GateCheck("accuracy", 0.97, 0.95, 0.99, ">= 0.96", "passed", "thin", "note")
BAD = replace(GOOD, name="recall_min", verdict="failed")


@pytest.mark.parametrize(
    ("checks", "passed", "failed"), [((), True, []), ((GOOD,), True, []), ((GOOD, BAD), False, [BAD])]
)
def test_verdict(checks: tuple[GateCheck, ...], passed: bool, failed: list[GateCheck]) -> None:
    report = GateReport("head", "data", checks, {}, {})
    assert (report.passed, list(report.failed)) == (passed, failed)


def test_json_of_a_check() -> None:
    assert GOOD.to_json() == {
        "name": "accuracy", "value": 0.97, "low": 0.95, "high": 0.99, "limit": ">= 0.96", "verdict": "passed",
        "evidence": "thin", "note": "note", "machine": False,
    }  # fmt: skip
