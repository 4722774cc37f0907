"""Results as rows of the page over a batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.settings import Settings
from trunkline.platform.line.overview import write_overview
from trunkline.platform.line.results import BuildResult, Outcome

GATE = {"name": "recall", "value": 0.9, "low": 0.8, "high": 1.0, "limit": ">= 0.8", "verdict": "passed"}
GOOD_ONLY = {"auroc": math.nan, "recall": math.nan, "false_reject_rate": 0.02}


def result(metrics: dict[str, float], *gates: dict[str, Any]) -> BuildResult:
    return BuildResult(
        scenario="weld", task="anomaly", status="passed", name="weld", version=1, digest="d" * 64, bundle="weld.tlb",
        images=40, classes=2, metrics=metrics, gates=[{"evidence": "ok", **gate} for gate in gates],
        seconds={"fit": 0.5}, cpu_seconds=1.5, bundle_bytes=20_000, rung="linear",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (result({"auroc": 0.93}, GATE), ("1 of 1 passed", "0.930", "Passed</span>")),
        (
            result(GOOD_ONLY),
            ("1 measured, nothing asked", "2.0\u00a0%", "Good pictures rejected", "Nothing asked</span>"),
        ),
        (result({"auroc": math.nan}, GATE), ("not measured",)),
    ],
)
def test_what_the_page_says_of_a_model(made: BuildResult, expected: tuple[str, ...], tmp_path: Path) -> None:
    html = write_overview(Outcome([made], []), Settings(home=tmp_path), title="Batch").read_text()
    assert [text for text in expected if text not in html] == []
    assert "nan" not in html
