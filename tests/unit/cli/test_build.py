"""What a build says to people: a verdict only where something was asked, a figure only where it was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from trunkline.cli.build import show
from trunkline.core.errors import DataError
from trunkline.platform.line.results import BuildResult, Outcome

GATE = {"name": "auroc", "value": 0.93, "low": 0.9, "high": 0.96, "limit": ">= 0.9", "evidence": "ok", "note": ""}
PASSED = {**GATE, "verdict": "passed"}
UNKNOWN = {**GATE, "value": math.nan, "low": math.nan, "high": math.nan, "verdict": "failed", "note": "not measured: x"}


def result(auroc: float, *gates: dict[str, Any]) -> BuildResult:
    metrics = {"auroc": auroc, "false_reject_rate": 0.02, "test_images": 10}
    return BuildResult(
        scenario="weld", task="anomaly", status="passed", name="weld", version=1, digest="d" * 64, bundle="weld.tlb",
        images=40, classes=2, metrics=metrics, gates=list(gates), seconds={}, cpu_seconds=1.5, bundle_bytes=2048,
        rung="linear", intervals={"false_reject_rate": [0.0, 0.1]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([result(0.93, PASSED)], ["weld version 1: passed", "auroc 0.9300", "passed with 0.9300 (0.9000 to 0.9600)"]),
        ([result(0.93, {**PASSED, "low": 0.93, "high": 0.93})], ["passed with 0.9300\n"]),
        ([result(0.93)], ["weld version 1: measured, nothing asked", "auroc 0.9300"]),
        ([result(math.nan, UNKNOWN)], ["  false_reject_rate 0.0200 (0.0000 to 0.1000) on 10 test images",
                                       "  not measured: auroc", "  gate auroc >= 0.9: failed, not measured: x"]),
        ([result(0.93, PASSED), result(math.nan)], ["false_reject_rate 0.0200", "measured, nothing asked",
                                                    "1 of 1 passed; 1 measured, nothing asked; 4 KB in all"]),
        ([result(0.93, PASSED), result(math.nan, UNKNOWN, PASSED)], ["weld missed auroc >= 0.9\n1 of 2 passed"]),
        ([result(math.nan, UNKNOWN)] * 23, ["weld missed auroc >= 0.9\nand 3 more missed a limit\n0 of 23 passed"]),
        ([result(0.93)] * 2, ["2 measured, nothing asked; 4 KB in all"]),
    ],
)  # fmt: skip
def test_what_a_build_says(results: list[BuildResult], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    show(Outcome(results, []), as_json=False)
    out = capsys.readouterr().out
    assert [text for text in expected if text not in out] == []
    assert "nan" not in out


def test_the_layout_and_the_next_step_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    made = replace(result(0.93), name="a weld", format="coco", alias="challenger")
    show(Outcome([made], []), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], lines[-2], lines[-1]) == (
        "  40 images of 2 labels, read as coco",
        "  it waits as the challenger, not compared with the champion: `trunkline models promote 'a weld@1'` "
        "makes it the champion",
        "next: open the report, `trunkline predict 'a weld' IMAGE...`, or `trunkline models ls`",
    )


def test_the_fix_stands_on_a_line_of_its_own_and_the_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    show(Outcome([], [("weld", DataError("no\nlabel", where="weld", fix="add one"))]), as_json=True)
    assert tuple(capsys.readouterr()) == ("", "trunkline: scenario weld: no\\x0alabel\n  fix: add one\n")
