"""Programs as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.compute.chips.npu_int8.small_graphs import inverted_bottleneck, pictures
from trunkline.compute.chips.npu_int8.arithmetic import Scale
from trunkline.compute.chips.npu_int8.compiler import compile_graph
from trunkline.compute.chips.npu_int8.program import Program, Step
from trunkline.compute.chips.npu_int8.running import run
from trunkline.core.errors import InputError


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_graph(inverted_bottleneck(), pictures(), where="small").program


def test_files_bring_the_same_program_back(program: Program) -> None:
    files = program.to_files()
    again = Program.from_files(files, where="here")
    assert (again.digest, again.to_files()) == (program.digest, files)
    assert np.array_equal(run(again, pictures())["pooled"], run(program, pictures())["pooled"])


def test_a_program_holds_no_floating_point_number(program: Program) -> None:
    def numbers(value: Any) -> list[type]:
        if isinstance(value, dict):
            return [kind for one in value.values() for kind in numbers(one)]
        return [kind for one in value for kind in numbers(one)] if isinstance(value, list) else [type(value)]

    assert float not in numbers(json.loads(program.to_files()["program.json"]))
    assert {array.dtype.kind for step in program.steps for array in step.arrays.values()} == {"i"}


def _meta(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def damage(files: dict[str, bytes]) -> None:
        meta = json.loads(files["program.json"])
        change(meta)
        files["program.json"] = json.dumps(meta).encode()

    return damage


def _flip(files: dict[str, bytes]) -> None:
    data = bytearray(files["program.safetensors"])
    data[-3] ^= 1
    files["program.safetensors"] = bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        lambda files: files.pop("program.safetensors"),
        lambda files: files.update({"program.json": b"[" * 10_000}),
        lambda files: files.update({"program.json": b"{}"}),
        lambda files: files.update({"program.safetensors": b"\xff" * 64}),
        _meta(lambda meta: meta.update(version=2)),
        _meta(lambda meta: meta.update(size=0)),
        _meta(lambda meta: meta["steps"].reverse()),
        _meta(lambda meta: meta["steps"][1].update(kind="exec")),
        _meta(lambda meta: meta["steps"][1].update(shift=99)),
        _meta(lambda meta: meta["steps"][1].update(arrays=["weight"])),
        _meta(lambda meta: meta["steps"][1]["geometry"].__setitem__(0, [0, 1])),
        _meta(lambda meta: meta["steps"][1]["columns"][0].__setitem__(2, 9999)),
        _meta(lambda meta: meta.update(outputs=["nothing"])),
    ],
)
def test_damaged_files_are_refused(program: Program, damage: Callable[[dict[str, bytes]], None]) -> None:
    files = program.to_files()
    damage(files)
    with pytest.raises(InputError, match="here: expected a program of npu-int8") as caught:
        Program.from_files(files, where="here")
    assert caught.value.fix == "compile it again"


@pytest.mark.parametrize(
    ("weight", "bias", "said"),
    [
        (np.full((1, 3), 127, np.int8), 2**31 - 1, "worst case is"),
        (np.full((1, 3), -128, np.int8), 0, "expected int8 of -127"),
        (np.full((1, 3), 127, np.int32), 0, "expected arrays"),
    ],
)
def test_a_step_whose_sums_could_overflow_cannot_be_made(weight: np.ndarray, bias: int, said: str) -> None:
    arrays = {"weight": weight, "bias": np.array([bias], np.int32)}
    with pytest.raises(ValueError, match=said):
        Step("linear", "l", ("features",), "y", ((1, Scale(1, 0)),), arrays=arrays)


@pytest.mark.parametrize(
    ("multiplier", "shift", "channels"), [(-1, 9, (1,)), (5, 37, (1,)), (5, 9, (2,))], ids=["sign", "shift", "channels"]
)
def test_a_quotient_that_could_overflow_cannot_be_made(multiplier: int, shift: int, channels: tuple[int, ...]) -> None:
    arrays = {"multipliers": np.full(3, multiplier, np.int32)}
    columns = ((3, Scale(1, 0)),)
    Step("contrast", "c", ("features",), "y", columns, arrays={"multipliers": np.ones(3, np.int32)}, channels=(1,))
    with pytest.raises(ValueError, match="expected"):
        Step("contrast", "c", ("features",), "y", columns, arrays=arrays, shift=shift, channels=channels)
