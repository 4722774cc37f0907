"""`trunkline trunks`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.conftest import Trunkline


def test_a_trunk_goes_from_home_to_home(trunkline: Trunkline, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.tlt"
    there = ("--home", tmp_path / "there")
    done = trunkline("trunks", "export", "test-trunk", "--out", out, "--json", *there)
    assert (done.status, json.loads(done.stdout)) == (0, {"file": str(out), "bytes": out.stat().st_size})
    done = trunkline("trunks", "import", out)
    assert (done.status, "give --trust" in done.stderr) == (2, True)
    done = trunkline("trunks", "import", out, "--trust", "--json")
    assert (done.status, json.loads(done.stdout)["name"]) == (0, "test-trunk")
    done = trunkline("trunks", "ls", "--json")
    states = {row["name"]: row["state"] for row in map(json.loads, done.stdout.splitlines())}
    assert states["test-trunk"] == "ready"


def test_a_file_that_is_not_there(trunkline: Trunkline, tmp_path: Path) -> None:
    done = trunkline("trunks", "import", tmp_path / "none.tlt")
    assert (done.status, "expected a trunk's file" in done.stderr) == (2, True)
