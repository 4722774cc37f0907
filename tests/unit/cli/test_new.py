"""`trunkline new` writes a scenario and says what comes next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trunkline.platform.line.scenarios import load

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trunkline


@pytest.mark.parametrize("task", ["classify", "multilabel", "anomaly"])
def test_a_scenario_is_written(trunkline: Trunkline, tmp_path: Path, task: str) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "steel" / "scenario.yaml"
    ended = trunkline("new", tmp_path / "steel", "--data", tmp_path / "images", "--task", task)
    assert ended == (0, f"wrote {path}\nnext: edit it, then `trunkline build {path}`\n", "")
    assert [(made.name, made.task, made.data[0].path) for made in load([path])] == [
        ("steel", task, tmp_path / "images")
    ]


def test_the_path_as_json(trunkline: Trunkline, tmp_path: Path) -> None:
    status, out, _ = trunkline("new", tmp_path / "steel", "--json")
    assert (status, json.loads(out)) == (0, {"path": str(tmp_path / "steel" / "scenario.yaml")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}/x", "--task", "clasify"], "--task: no task named 'clasify'\n  fix: did you mean 'classify'?"),
        (["{0}/x", "--data", "{0}/none"], "{0}/none: expected a folder of images; there is nothing here"),
        (["{0}/file"], "{0}/file/scenario.yaml: expected a folder, got a file\n"
                       "  fix: name another folder; the home is named with --home DIR or TRUNKLINE_HOME"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(trunkline: Trunkline, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "file").touch()
    ended = trunkline("new", *(argument.format(tmp_path) for argument in arguments))
    assert ended == (2, "", f"trunkline: {message.format(tmp_path)}\n")
