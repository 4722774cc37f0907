"""Names of models that the shell offers: quick, and silent where there is nothing to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.platform.registry.versions import ModelVersion, SqliteReads

COMPLETE = {"_TRUNKLINE_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("trunkline predict ", "bins lamp lamp@champion steel steel@challenger steel@champion"),
        ("trunkline models show steel@", "steel@challenger steel@champion"),
        ("trunkline models promote l", "lamp lamp@champion"),
        ("trunkline evaluate x", ""),
    ],
)
def test_models(trunkline: Any, monkeypatch: pytest.MonkeyPatch, words: str, found: str) -> None:
    versions = [("bins", ()), ("lamp", ("champion",)), ("steel", ("champion",)), ("steel", ("challenger",))]
    made = [ModelVersion(name, n, "", Path(), aliases=aliases) for n, (name, aliases) in enumerate(versions, 1)]
    monkeypatch.setattr(SqliteReads, "versions", lambda self: made)
    for name, value in {**COMPLETE, "_TYPER_COMPLETE_ARGS": words}.items():
        monkeypatch.setenv(name, value)
    ended = trunkline()
    assert (ended.status, ended.stdout.split(), ended.stderr) == (0, found.split(), "")


def test_a_damaged_home_gives_nothing_and_mlflow_is_not_imported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "mlflow.db").write_text("no database")
    for name, value in {**COMPLETE, "_TYPER_COMPLETE_ARGS": "trunkline predict s"}.items():
        monkeypatch.setenv(name, value)
    code = (
        "import atexit, sys; atexit.register(lambda: print('mlflow' in sys.modules))\n"
        "from trunkline.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")
