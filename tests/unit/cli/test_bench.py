"""`trunkline bench`: JSON alone on standard output, tables for people, and what is wrong said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pictures
from tests.unit.cli.conftest import Trunkline
from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cards import Card, ModelRow, Trial, TrunkRow, WayRow
from trunkline.platform.bench import chip, engine, npu

PLAIN, INT8 = Way("openvino"), Way("openvino", "int8", calibration="ab" * 8)
TRIAL = Trial(INT8, {"crack": (20, 1.0, 0.95), "good": (0, None, None)}, 0.05, 0.0, False, "crack loses")
CARD = Card(
    "cpu",
    {"notes": ["no instruction set here multiplies int8"]},
    trunks={
        "t": TrunkRow("net", False, 2, 4, 20, PLAIN,
                      (WayRow(PLAIN, "fp32", 60.0, 16.0, 18.0, 20.0, 1.0, 1.0, 1.0), WayRow(INT8, reason="no NNCF"))),
    },
    models={"m": ModelRow("steel", "t", "d", 20, 0.005, PLAIN, "crack loses", (TRIAL,))},
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[dict[str, Any]]:
    """What the functions behind the commands were asked for."""
    calls: list[dict[str, Any]] = []

    def bench_chip(settings: Any, *, say: Any, **options: Any) -> tuple[Card, Path]:
        say("measuring")
        calls.append(options)
        return CARD, home / "chips" / "cpu.json"

    monkeypatch.setattr(chip, "bench_chip", bench_chip)
    return calls


def test_chip_for_programs(trunkline: Trunkline, asked: list[dict[str, Any]]) -> None:
    ended = trunkline("bench", "chip", "steel*", "other", "--max-loss", "0.01", "--json")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.status, ended.stderr) == (0, "trunkline: measuring\n")
    assert asked == [{"chip": "cpu", "refs": ["steel*", "other"], "trunks": (), "images": (), "max_loss": 0.01}]
    assert [(row["kind"], row.get("runtime"), row.get("precision")) for row in rows] == [
        ("way", "openvino", "fp32"), ("way", "openvino", "int8"), ("model", None, None),
    ]  # fmt: skip
    assert (rows[0]["plain"], rows[1]["reason"], rows[2]["trials"][0]["classes"]["crack"]) == (
        True, "no NNCF", [20, 1.0, 0.95],
    )  # fmt: skip


def test_chip_for_people(trunkline: Trunkline, asked: list[dict[str, Any]]) -> None:
    ended = trunkline("bench", "chip", "--trunk", "net", "--images", "here")
    assert asked == [{"chip": "cpu", "refs": (), "trunks": ["net"], "images": [Path("here")], "max_loss": None}]
    for said in ("no instruction set here multiplies int8", "fp32 without a card", "no NNCF", "0.9500 (-5.00)",
                 "steel: openvino fp32; crack loses", "cpu.json"):  # fmt: skip
        assert said in ended.stdout


def test_chip_npu_goes_to_the_simulator(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    class Report:
        def to_json(self) -> dict[str, Any]:
            return {
                "trunk": "net", "array": {"name": "edge-32x32"}, "macs": 4e6, "cycles": 9000, "ms_at_1_ghz": 0.009,
                "features_cosine": 0.99, "features_cosine_least": 0.98, "compared_images": 3,
                "model": {"name": "steel", "changed": 1, "images": 3},
            }  # fmt: skip

    def simulate(settings: Any, *, say: Any, **options: Any) -> Report:
        calls.append(options)
        return Report()

    monkeypatch.setattr(npu, "simulate", simulate)
    words = ("bench", "chip", "steel", "--chip", "npu-int8", "--array", "32x32")
    assert json.loads(trunkline(*words, "--json").stdout)["cycles"] == 9000
    assert "steel: 1 of 3 answers changed" in trunkline(*words).stdout
    trunkline("bench", "chip", "--chip", "npu-int8", "--images", tmp_path)
    assert calls == [
        {"trunk": "", "model": "steel", "array": "32x32", "images": None},
        {"trunk": "", "model": "steel", "array": "32x32", "images": None},
        {"trunk": "efficientnet-lite0", "model": None, "array": "edge-16x16", "images": [tmp_path]},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--array", "32x32"], "--array: expected no array for the chip cpu"),
        (["a", "b", "--chip", "npu-int8"], "bench chip: expected at most one model and one trunk for npu-int8"),
        (["--chip", "cuda"], "--chip: the chip cuda cannot be used here"),
        (["--max-loss", "2"], "--max-loss: expected 0 to 1, got 2.0"),
        (["nothing"], "no model named 'nothing'"),
    ],
)
def test_chip_says_what_is_wrong(words: list[str], message: str, trunkline: Trunkline) -> None:
    ended = trunkline("bench", "chip", *words)
    assert (ended.status, ended.stdout, message in ended.stderr) == (2, "", True), ended.stderr


def test_chip_with_nncf_keeps_standard_output_clean(trunkline: Trunkline, tmp_path: Path, pictures: Pictures) -> None:
    pictures.folder(tmp_path / "some", count=3)
    ended = trunkline("bench", "chip", "--trunk", "test-trunk", "--images", tmp_path / "some", "--threads", 1, "--json")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(row["runtime"], row["precision"]) for row in rows if not row["reason"]] == [
        ("openvino", "fp32"), ("onnxruntime", "fp32"), ("openvino", "int8"), ("onnxruntime", "int8"),
    ]  # fmt: skip
    assert {line.split(": ")[0] for line in ended.stderr.splitlines()} == {"trunkline"}


def test_engine_for_programs_and_people(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HEADS": (1, 30), "SERVED": 20, "_SECONDS": 0.1, "_ROUNDS": 1, "FRAME": (64, 48)}.items():
        monkeypatch.setattr(engine, name, value)
    words = ("bench", "engine", "--trunk", "test-trunk", "--threads", 1)
    row = json.loads(trunkline(*words, "--json").stdout)
    assert (row["trunk"], row["heads"], list(row["cameras"])) == ("test-trunk", 20, ["1", "5", "15"])
    shown = trunkline(*words).stdout
    for said in ("test-trunk, openvino fp32, 1 threads", "JPEG 64 x 48 to input", "cameras of 15 a second"):
        assert said in shown
