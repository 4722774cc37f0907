"""The command line as users have it, in this process; scenarios on the tiny trunk, so that journeys take a second."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Ran:
    """What a command left: exit status, standard output and error."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON, one object a line and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        (one,) = self.rows
        return one


Trunkline = Callable[..., Ran]


@pytest.fixture
def trunkline(home: Path, monkeypatch: pytest.MonkeyPatch) -> Trunkline:
    """Run a command on this test's own home."""
    from trunkline.cli import app

    def run(*words: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["trunkline", *map(str, words)])
        out, err = io.StringIO(), io.StringIO()
        status = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                app.run()
            except SystemExit as end:
                status = int(end.code or 0)
        return Ran(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a scenario file on the tiny trunk; keys come as words, `extra` is put after them as it is."""

    def make(name: str, data: Path | Sequence[Path], *, task: str = "classify", extra: str = "") -> Path:
        places = [data] if isinstance(data, Path) else list(data)
        path = tmp_path / f"{name}.yaml"
        lines = [
            f"name: {json.dumps(name)}",
            f"task: {task}",
            f"data: {json.dumps([str(place) for place in places])}",
            "trunk: test-trunk",
            extra,
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    return make
