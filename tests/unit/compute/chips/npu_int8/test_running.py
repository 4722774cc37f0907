"""Programs at work: the same integers everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from trunkline.compute.chips.npu_int8.arithmetic import Scale
from trunkline.compute.chips.npu_int8.layers import Geometry
from trunkline.compute.chips.npu_int8.program import Program, Step
from trunkline.compute.chips.npu_int8.running import accumulators, execute, run, run_many
from trunkline.core.digest import digest_bytes

UNIT = Scale(2048, -11)
KNOWN = "f0a36a4b3dee0965636a5e85fa08163f2dad3296d7463db1974311ba90665867"


def _numbers(*shape: int, factor: int = 37) -> np.ndarray:
    """Whole numbers of -127 to 127 by a rule, not by a generator that a new NumPy may change."""
    count = math.prod(shape)
    return ((np.arange(count) * factor + 11) % 255 - 127).astype(np.int8).reshape(shape)


def _bounds(low: int = -127, high: int = 127) -> dict[str, np.ndarray]:
    return {"low": np.array([low], np.int8), "high": np.array([high], np.int8)}


def _conv(name: str, source: str, weight: np.ndarray, geometry: Geometry, shift: int) -> Step:
    arrays = {
        "weight": weight, "bias": np.arange(len(weight), dtype=np.int32) * 700 - 900,
        "multipliers": np.array([1_518_500_250], np.int32), **_bounds(0),
    }  # fmt: skip
    return Step("conv", name, (source,), name, ((len(weight), UNIT),), arrays=arrays, shift=shift, geometry=geometry)


def known_program() -> Program:
    """Every kind of step a trunk has, of numbers written down."""
    table = (np.arange(256) - 128).clip(-127, 127).astype(np.int8)[:, None].repeat(3, axis=1)
    steps = [
        Step("image", "image", (), "x", ((3, UNIT),), arrays={"table": table}),
        _conv("stem", "x", _numbers(8, 3, 3, 3), Geometry((2, 2), (1, 1), (0, 0, 1, 1)), 41),
        _conv("wide", "stem", _numbers(96, 8, 1, 1, factor=41), Geometry(), 40),
        _conv("depth", "wide", _numbers(96, 1, 3, 3, factor=43), Geometry(pads=(1, 1, 1, 1), groups=96), 40),
        _conv("narrow", "depth", _numbers(8, 96, 1, 1, factor=47), Geometry(), 39),
        Step(
            "add", "add", ("narrow", "stem"), "sum", ((8, UNIT),),
            arrays={"multipliers": np.array([2**30, 1_900_000_001], np.int32), **_bounds()}, shift=31,
        ),
        Step("clip", "clip", ("sum",), "clipped", ((8, UNIT),), arrays=_bounds(-100, 90)),
        Step("mean", "mean", ("clipped",), "mean", ((8, UNIT),)),
        Step("std", "std", ("clipped",), "std", ((8, UNIT),), epsilon=3),
        Step("max", "max", ("clipped",), "max", ((8, UNIT),)),
        Step("concat", "concat", ("mean", "std", "max"), "pooled", ((24, UNIT),)),
        Step(
            "contrast", "contrast", ("pooled",), "quotients", ((24, UNIT),), channels=(8,), shift=17,
            arrays={"multipliers": np.arange(24, dtype=np.int32) * 90_001 + 8_000_000},
        ),
        Step(
            "linear", "linear", ("quotients",), "logits", ((5, UNIT),),
            arrays={"weight": _numbers(5, 24, factor=53), "bias": np.arange(5, dtype=np.int32) * 1000},
        ),
    ]  # fmt: skip
    return Program("0" * 64, "images", 32, tuple(steps), ("pooled", "logits"))


def known_pictures() -> np.ndarray:
    count = 3 * 32 * 32 * 3
    return ((np.arange(count) * 97 + np.arange(count) // 61) % 256).astype(np.uint8).reshape(3, 32, 32, 3)


def _digest(found: dict[str, np.ndarray]) -> str:
    return digest_bytes(b"".join(found[name].astype("<i4").tobytes() for name in ("pooled", "logits")))


def _one_by_one(program: Program, images: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    rows = [run(program, images[at : at + 1]) for at in range(len(images))]
    return {name: np.concatenate([row[name] for row in rows]) for name in program.outputs}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "how",
    [
        lambda program, images, threads: run(program, images),
        lambda program, images, threads: run_many(program, images, threads=threads),
        _one_by_one,
    ],
    ids=["together", "in threads", "one by one"],
)
def test_known_answer(how: Callable[[Program, np.ndarray, int], dict[str, np.ndarray]], threads: int) -> None:
    with threadpool_limits(threads):
        found = how(known_program(), known_pictures(), threads)
    assert _digest(found) == KNOWN


def test_known_answer_is_of_numbers_that_vary() -> None:
    """Not of maps that are saturated throughout, which would prove little."""
    keep = ("stem", "wide", "depth", "narrow", "sum", "quotients")
    found = run(known_program(), known_pictures(), keep=keep)
    assert {name: len(np.unique(found[name])) > 20 for name in keep} == dict.fromkeys(keep, True)


def test_a_larger_type_gives_the_same() -> None:
    """The bias makes float64 necessary; taken away again, the sums are those of float32."""
    program = known_program()
    step = program.step("narrow")
    source = run(program, known_pictures(), keep=("depth",))["depth"]
    heavy = replace(step, arrays={**step.arrays, "bias": step.arrays["bias"] + 2**24})
    assert (step.largest <= 2**24, heavy.largest <= 2**24) == (True, False)
    light, large = accumulators(step, source), accumulators(heavy, source)
    assert (light.dtype, large.dtype) == (np.float32, np.float64)
    assert np.array_equal(light.astype(np.int64) + 2**24, large.astype(np.int64))


def test_statistics_are_those_of_fractions() -> None:
    maps = _numbers(2, 5, 7, 3, factor=91)
    for number in range(2):
        for channel in range(3):
            values = [int(v) for v in maps[number, :, :, channel].ravel()]
            mean = Fraction(sum(values), len(values))
            variance = sum((v - mean) ** 2 for v in values) / len(values)
            found = {
                kind: int(execute(Step(kind, kind, ("m",), kind, ((3, UNIT),)), [maps])[number, channel])
                for kind in ("mean", "std", "max")
            }
            assert abs(Fraction(found["mean"], 256) - mean) <= Fraction(1, 512)
            assert abs(found["std"] / 256 - math.sqrt(variance)) <= 1 / 512 + 1e-6
            assert found["max"] == 256 * max(values)


def test_std_of_the_largest_map_does_not_overflow() -> None:
    maps = np.full((1, 256, 256, 1), 127, np.int8)
    maps[:, ::2] = -127
    assert execute(Step("std", "std", ("m",), "std", ((1, UNIT),)), [maps]).tolist() == [[127 * 256]]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (np.zeros((1, 32, 32, 3), np.int16), "expected uint8"),
        (np.zeros((1, 16, 32, 3), np.uint8), "expected uint8"),
        (np.zeros((0, 32, 32, 3), np.uint8), "at least one"),
    ],
)
def test_other_inputs_are_refused(inputs: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_many(known_program(), inputs, threads=1)
