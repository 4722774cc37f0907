"""What a build says of itself: JSON both ways, and the exit status."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest

from trunkline.core.errors import BusyError, ConfigError, TrunklineError
from trunkline.platform.line.results import BuildResult, Outcome, Silent

GATE = {"name": "accuracy", "value": 0.97, "low": 0.9, "high": 0.99, "limit": ">= 0.9", "verdict": "passed"}
RESULT = BuildResult(
    scenario="steel",
    task="classify",
    status="passed",
    name="steel",
    version=2,
    digest="d" * 64,
    bundle="steel.tlb",
    images=40,
    classes=2,
    metrics={"accuracy": 0.97},
    gates=[GATE],
    seconds={"fit": 0.5},
    cpu_seconds=1.5,
    bundle_bytes=20_000,
    rung="linear",
    intervals={"accuracy": [0.9, 0.99]},
)
FAILED = replace(RESULT, status="failed", gates=[GATE, {**GATE, "verdict": "failed"}])
CONTRACT = (
    "scenario", "task", "status", "name", "version", "digest", "bundle", "images", "classes", "metrics", "gates",
    "seconds", "cpu_seconds", "bundle_bytes", "rung",
)  # fmt: skip
"""Keys of `build --json` that scripts rely on."""


def test_json_has_every_field_and_comes_back() -> None:
    row = json.loads(json.dumps(RESULT.to_json(), allow_nan=False))
    assert set(row) == {field.name for field in fields(BuildResult)}
    assert [name for name in CONTRACT if name not in row] == []
    assert BuildResult.from_json(row) == RESULT


def test_a_figure_that_was_not_measured_is_null_and_comes_back_as_nan() -> None:
    gate = {**GATE, "value": math.nan, "low": math.nan, "high": math.inf, "verdict": "failed"}
    made = replace(RESULT, metrics={"auroc": math.nan}, gates=[gate], intervals={"auroc": [math.nan, 1.0]})
    row = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert (row["metrics"], row["gates"], row["intervals"]) == (
        {"auroc": None},
        [{**GATE, "value": None, "low": None, "high": None, "verdict": "failed"}],
        {"auroc": [None, 1.0]},
    )
    back = BuildResult.from_json(row)
    numbers = (back.metrics["auroc"], back.gates[0]["value"], back.gates[0]["low"], back.intervals["auroc"][0])
    assert [f"{number:.4f}" for number in numbers] == ["nan"] * 4


@pytest.mark.parametrize(
    "change",
    [{"unknown": 1}, {"metrics": [1]}, {"gates": [{"name": "accuracy"}]}, {"intervals": 1}],
)
def test_a_result_of_another_version_is_a_type_error(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        BuildResult.from_json({**RESULT.to_json(), **change})


@pytest.mark.parametrize(
    ("result", "verdict"),
    [(RESULT, "passed"), (FAILED, "failed"), (replace(RESULT, gates=[]), "measured, nothing asked")],
)
def test_the_verdict_in_words(result: BuildResult, verdict: str) -> None:
    assert (result.verdict, result.figure) == (verdict, "accuracy")


def test_unchanged_costs_nothing() -> None:
    assert RESULT.unchanged() == replace(RESULT, status="unchanged", seconds={}, cpu_seconds=0.0)


@pytest.mark.parametrize(
    ("results", "errors", "status"),
    [
        ([], [], 0),
        ([RESULT], [], 0),
        ([RESULT.unchanged()], [], 0),
        ([RESULT, FAILED], [], 3),
        ([FAILED.unchanged()], [], 3),
        ([RESULT], [ConfigError("x")], 2),
        ([FAILED], [ConfigError("x"), BusyError("x")], 2),
        ([RESULT], [TrunklineError("x")], 1),
    ],
)
def test_exit_status(results: list[BuildResult], errors: list[TrunklineError], status: int) -> None:
    assert Outcome(results, [("steel", error) for error in errors]).exit_status == status


def test_the_silent_listener_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Silent()
    silent.advance("fit", 1, 2, "heads")
    silent.message("x")
    silent.finished(RESULT)
    assert tuple(capsys.readouterr()) == ("", "")
