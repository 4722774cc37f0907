"""Every benchmark runs, prints one JSON object with its reference, and keeps nothing when it is only tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", NAMES)
def test_quick_run(name: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in RESULTS.glob("*.json")}
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["name"], row["quick"]) == (name, True)
    assert row["machine"]["cores"] >= 1
    assert any("reference" in figure for figure in row["figures"])
    assert [f["figure"] for f in row["figures"] if not {"figure", "value", "unit", "asked", "met"} <= set(f)] == []
    assert {path.name: path.stat().st_mtime_ns for path in RESULTS.glob("*.json")} == before


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_kept_results_are_of_whole_runs_and_say_the_machine(path: Path) -> None:
    row = json.loads(path.read_text())
    assert row["name"] == path.stem
    assert path.stem in NAMES
    assert "quick" not in row
    assert row["machine"]["cpu"]
    assert row["threads"] >= 1
