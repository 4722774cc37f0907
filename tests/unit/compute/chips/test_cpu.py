"""The processor as a chip: what it is fast in, and how graphs are opened on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.compute.chips import machines
from trunkline.algorithms.trunks import resolve
from trunkline.compute.chips import CHIPS
from trunkline.compute.chips import cpu as module
from trunkline.compute.chips.base import Way
from trunkline.core.errors import InputError

ALL = ["fp32", "bf16", "fp16", "int8"]


@pytest.mark.parametrize("name", ["cpu", "cuda", "npu-int8"])
def test_every_chip_says_what_it_is_in_json_and_names_ways_of_its_own(name: str) -> None:
    chip = CHIPS.load(name)()
    assert json.loads(json.dumps(chip.describe()))["fast"]
    assert {way.chip for way in chip.ways()} <= {name}
    assert isinstance(chip.available(), str)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([], ["fp32"]),
        (["avx2", "avx512f"], ["fp32"]),
        (["avx2", "avx_vnni"], ["fp32", "int8"]),
        (["avx512_bf16", "avx512_vnni"], ["fp32", "bf16", "int8"]),
        (["amx_bf16", "amx_fp16", "amx_int8"], ALL),
        (["asimd", "asimdhp", "asimddp"], ["fp32", "fp16", "int8"]),
    ],
)
def test_precisions_follow_from_instruction_sets(features: list[str], expected: list[str]) -> None:
    assert module.fast_precisions(features) == expected


@pytest.mark.parametrize(
    ("features", "lacking"), [(["avx2"], ["bf16", "fp16", "int8"]), (["amx_int8"], ["bf16", "fp16"])]
)
def test_what_it_has_no_unit_for_is_said(
    features: list[str], lacking: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "machine", lambda: machines.facts(features=features))
    found = module.Cpu().describe()
    assert [note.split(" (")[0] for note in found["notes"]] == [
        f"no instruction set here multiplies {precision}" for precision in lacking
    ]
    assert found["fast"] == [name for name in ALL if name not in lacking]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_the_runtime_lacks_is_refused(precision: str, home: Path) -> None:
    with pytest.raises(InputError, match=f"expected fp32 or int8 in onnxruntime on a CPU, got {precision}"):
        module.Cpu().open(
            Way("onnxruntime", precision), resolve("test-trunk", home).path(), outputs=("pooled",), threads=1
        )


@pytest.mark.parametrize("value", [{"precision": "fp64"}, {"precision": ""}, {"calibration": 5}])
def test_a_way_that_is_none_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Way("openvino", **value)  # type: ignore[arg-type]
