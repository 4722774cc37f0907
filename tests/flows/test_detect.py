"""Boxes from labels to answers: built, gated, packed, asked, drawn, measured again, on real steel."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

KINDS, EACH = ("patches", "scratches"), 24
SCENARIO = """\
name: steel boxes
task: detect
data: steel
split: {{test: 0.25, seed: 0}}
gates: {{map50: ">= 0.1", champion: no-worse}}
plan: {{side: 224, width: 32, epochs: {epochs}}}
"""


@pytest.fixture
def steel(tmp_path: Path, neu_det: Path) -> Path:
    """A few images of two kinds with their boxes."""
    for kind in KINDS:
        for number in range(1, EACH + 1):
            for folder, ending in (("images", "jpg"), ("annotations", "xml")):
                target = tmp_path / "steel" / folder
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(neu_det / folder / f"{kind}_{number}.{ending}", target)
    return tmp_path


def test_things_are_found_where_they_are(steel: Path, home: Path, trunkline: Any) -> None:
    (steel / "steel.yaml").write_text(SCENARIO.format(epochs=30))
    row = trunkline("build", steel / "steel.yaml", "--json").row
    assert (row["status"], row["task"], row["classes"], row["rung"]) == ("passed", "detect", 2, "dense")
    assert row["metrics"]["map50"] > 0.1
    assert {finding["kind"] for finding in row["findings"]} >= {"other-size"}  # labelled at another size
    assert "side: 224" in (home / "plans" / "steel boxes.yaml").read_text()

    asked = [str(steel / "steel" / "images" / f"{kind}_{EACH}.jpg") for kind in KINDS]
    answers = trunkline("predict", "steel boxes", *asked, "--json", "--show", steel / "drawn").rows
    for answer, file in zip(answers, asked, strict=True):
        width, height = Image.open(file).size
        assert answer["predictions"]
        for thing in answer["predictions"]:
            x1, y1, x2, y2 = thing["box"]
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
        best = max(answer["predictions"], key=lambda thing: thing["score"])
        assert best["label"] == Path(file).stem.split("_")[0]
        drawn = np.asarray(Image.open(steel / "drawn" / f"{Path(file).stem}.jpg"), int)
        assert (np.ptp(drawn, axis=2) > 60).any()  # colour on a grey picture

    measured = trunkline("evaluate", "steel boxes", "steel boxes", "--json").row
    assert measured["metrics"]["map50"] == pytest.approx(row["metrics"]["map50"])

    again = trunkline("build", steel / "steel.yaml", "--json").row
    assert (again["status"], again["digest"]) == ("unchanged", row["digest"])

    (steel / "steel.yaml").write_text(SCENARIO.format(epochs=31))
    next_ = trunkline("build", steel / "steel.yaml", "--json").row
    champion = next(gate for gate in next_["gates"] if gate["name"] == "champion")
    assert "map50" in champion["note"]
    assert next_["digest"] != row["digest"]
