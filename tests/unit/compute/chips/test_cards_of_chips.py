"""Target cards: kept whole, read only where they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.compute.chips import machines
from trunkline.compute.chips import cards
from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cards import Card, ModelRow, Trial, TrunkRow, WayRow, changing, load, path_of, save

PLAIN, INT8 = Way("openvino"), Way("openvino", "int8", calibration="ab" * 8)
TRUNK = TrunkRow(
    "net", False, 2, 4, 64, PLAIN,
    (WayRow(PLAIN, "fp32", 60.0, 16.0, 18.0, 20.0, 1.0, 1.0, 1.0), WayRow(INT8, reason="no NNCF")),
)  # fmt: skip
TRIAL = Trial(INT8, {"a": (20, 1.0, 0.95), "b": (0, None, None)}, 0.05, 0.0, False, "a loses")
MODEL = ModelRow("steel", "t" * 64, "d" * 64, 20, 0.005, PLAIN, "a loses", (TRIAL,))


def card(**changes: object) -> Card:
    return Card("cpu", {"fast": ["fp32"]}, trunks={"t" * 64: TRUNK}, models={"m" * 64: MODEL}, **changes)  # type: ignore[arg-type]


def test_a_card_is_read_as_it_was_written(home: Path) -> None:
    with changing(home, "cpu"):
        path = save(home, card())
    assert path == home / "chips" / "cpu.json"
    assert load(home, "cpu") == card()
    assert [left.name for left in path.parent.iterdir()] == ["cpu.json"]


def test_rows_take_the_place_of_those_of_the_same_digest() -> None:
    other = TrunkRow("other", True, 1, 1, 0, PLAIN, ())
    both = card().with_rows({"u" * 64: other}, {})
    assert (list(both.trunks.values()), list(both.models.values())) == ([TRUNK, other], [MODEL])
    assert card().with_rows({"t" * 64: other}, {}).trunks == {"t" * 64: other}


@pytest.mark.parametrize(
    "changes", [{"cpu": "Another"}, {"features": []}, {"cores": 64}, {"versions": {"openvino": "2"}}]
)
def test_a_card_of_another_machine_is_none(
    changes: dict[str, object], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(home, card(facts=machines.facts()))
    monkeypatch.setattr(cards, "machine", machines.facts)
    assert load(home, "cpu") is not None
    monkeypatch.setattr(cards, "machine", lambda: machines.facts(**changes))
    assert load(home, "cpu") is None


def _without(key: str) -> bytes:
    row = card().to_json()
    del row[key]
    return json.dumps(row).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"\xff", b"[" * 9999, _without("trunks"), _without("facts"), _without("schema"),
        json.dumps({**card().to_json(), "schema": 2}).encode(),
        json.dumps({**card().to_json(), "models": {"m": {"way": 5}}}).encode(),
        json.dumps({**card().to_json(), "chip": "cuda"}).encode(),
        json.dumps(card().to_json()).replace('"fp32"', '"fp64"').encode(),
    ],
)  # fmt: skip
def test_what_is_no_card_is_as_good_as_none(data: bytes, home: Path) -> None:
    path = path_of(home, "cpu")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert load(home, "cpu") is None


def test_without_a_file_there_is_none(home: Path) -> None:
    assert load(home, "cpu") is None
