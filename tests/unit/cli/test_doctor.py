"""`trunkline doctor` shows each check, sums up, and ends with 2 only when something stands in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trunkline.platform import doctor
from trunkline.platform.doctor import Check

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trunkline

PYTHON = Check("ok", "Python", "3.11.7")
HEADS = [Check("ok", "head anomaly", "ok"), Check("ok", "head classify", "ok")]
BAD_HEAD = Check("missing", "head mine", "failed: ImportError: no x [y]", "remove its package")
NO_BUILD = Check("missing", "extra build", "not installed: torch", "pip install 'trunkline[build]'")
BROKEN = Check("failed", "MLflow", "file is not a database", "put a copy back")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what is found."""

    def found(*checks: Check) -> None:
        monkeypatch.setattr(doctor, "examine", lambda settings: list(checks))

    return found


@pytest.mark.parametrize(
    ("checks", "status", "text"),
    [
        ([PYTHON, *HEADS], 0, "ok      Python: 3.11.7\nok      heads: anomaly, classify\n"
                              "models can be run and built here\n"),
        ([*HEADS, BAD_HEAD], 0, "ok      heads: anomaly, classify\nmissing head mine: failed: ImportError: no x [y]\n"
                                "        fix: remove its package\n"
                                "models can be run and built here; optional and missing: 1\n"),
        ([NO_BUILD], 0, "missing extra build: not installed: torch\n        fix: pip install 'trunkline[build]'\n"
                        "models can be run here; optional and missing: 1\n"),
        ([PYTHON, BROKEN], 2, "ok      Python: 3.11.7\nfailed  MLflow: file is not a database\n"
                              "        fix: put a copy back\n"
                              "1 of these keep models from being run or built here\n"),
    ],
)  # fmt: skip
def test_text(trunkline: Trunkline, examined: Any, checks: list[Check], status: int, text: str) -> None:
    examined(*checks)
    assert trunkline("doctor") == (status, text, "")


@pytest.mark.parametrize(("checks", "status"), [([PYTHON, *HEADS, BAD_HEAD], 0), ([BROKEN, PYTHON], 2)])
def test_json_has_every_check_for_itself(trunkline: Trunkline, examined: Any, checks: list[Check], status: int) -> None:
    examined(*checks)
    ended = trunkline("doctor", "--json")
    assert (ended.status, ended.stderr) == (status, "")
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [check.to_json() for check in checks]


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ("threads = 0\n", "settings.toml:1: threads: expected a number greater than or equal to 1"),
        ("x = 1\n", "settings.toml:1: x: unknown key 'x'"),
    ],
)
def test_settings_that_are_wrong_do_not_stop_it(
    trunkline: Trunkline, examined: Any, home: Path, settings: str, first: str
) -> None:
    home.mkdir()
    (home / "settings.toml").write_text(settings)
    examined(PYTHON)
    ended = trunkline("doctor")
    lines = ended.stdout.splitlines()
    assert (ended.status, lines[0].startswith(f"failed  settings: {home}/{first}"), lines[2]) == (
        2,
        True,
        "ok      Python: 3.11.7",
    )


def test_a_home_that_cannot_be_does_not_stop_it(trunkline: Trunkline, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = trunkline("doctor", "--home", tmp_path / "file", "--json")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.status, ended.stderr, rows[0]) == (
        2,
        "",
        {
            "state": "failed", "what": "settings", "found": f"{tmp_path}/file: expected a folder, got a file",
            "fix": "name another folder; the home is named with --home DIR or TRUNKLINE_HOME",
        },
    )  # fmt: skip
    assert {row["state"] for row in rows if row["what"].startswith("head ")} == {"ok"}
