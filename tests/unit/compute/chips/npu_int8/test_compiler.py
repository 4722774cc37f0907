"""Compiled graphs: close to the float network, in integers that fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.compute.chips.npu_int8.small_graphs import (
    SIZE,
    floats,
    inverted_bottleneck,
    model,
    node,
    pictures,
    statistics,
    weights,
)
from trunkline.compute.chips.npu_int8 import compiler, quantising
from trunkline.compute.chips.npu_int8.closeness import Closeness
from trunkline.compute.chips.npu_int8.compiler import compile_graph
from trunkline.compute.chips.npu_int8.running import run
from trunkline.core.errors import InputError


def _sqnr(graph: bytes, output: str = "pooled", *, seed: int = 9) -> float:
    """Decibels on pictures of a seed; calibrated on those of seed 0."""
    compiled = compile_graph(graph, pictures(8), where="small")
    images = pictures(8, seed=seed)
    (expected,) = floats(graph, images, [output])
    return Closeness().with_pair(compiled.real(output, run(compiled.program, images)[output]), expected).sqnr_db


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_features_are_close_whatever_the_spread_of_channels(spread: float) -> None:
    assert _sqnr(inverted_bottleneck(spread=spread)) > 28


def test_equalisation_rescues_channels_of_small_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = inverted_bottleneck(spread=100.0)
    with_it = _sqnr(graph)
    monkeypatch.setattr(compiler, "equalised", lambda layers, found, outputs: (layers, {}))
    assert with_it > _sqnr(graph) + 3


def _bias_of_means(graph: bytes) -> float:
    """Largest error of a channel's mean over all pictures and positions, on the pictures of the calibration."""
    images = pictures(12)
    compiled = compile_graph(graph, images, where="small")
    (expected,) = floats(graph, images, ["pooled"])
    error = (compiled.real("pooled", run(compiled.program, images)["pooled"]) - expected).mean(axis=0)
    return float(np.abs(error[:8]).max())  # of mean, std and max the first


def test_corrected_biases_take_the_error_out_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = inverted_bottleneck(spread=30.0)
    monkeypatch.setattr(compiler, "equalised", lambda layers, found, outputs: (layers, {}))
    with_it = _bias_of_means(graph)
    monkeypatch.setattr(compiler, "with_mean", lambda step, unit, pairs: step)
    assert with_it < _bias_of_means(graph) / 3


def test_tensors_of_equalised_channels_are_given_in_the_networks_own_unit() -> None:
    graph, images = inverted_bottleneck(spread=100.0), pictures(2)
    compiled = compile_graph(graph, images, where="small")
    integers = run(compiled.program, images, keep=("r1", "r2"))
    assert set(compiled.factors) == {"r1", "r2"}
    for name, expected in zip(("r1", "r2"), floats(graph, images, ["r1", "r2"]), strict=True):
        assert Closeness().with_pair(compiled.real(name, integers[name]), expected).sqnr_db > 20


def _headed(*last: Any) -> bytes:
    constants = {
        "w": weights(8, 3, 3, 3), "m1": weights(24, 6), "b1": weights(6), "m2": weights(4, 6, seed=1), "b2": weights(4)
    }  # fmt: skip
    return model([node("Conv", ["x", "w"], ["c"], strides=[2, 2]), *statistics("c"), *last], constants, ["y"])


@pytest.mark.parametrize(
    ("last", "kinds", "dtype"),
    [
        ([node("MatMul", ["pooled", "m1"], ["p"]), node("Add", ["p", "b1"], ["y"])], ["gather", "linear"], np.int32),
        (
            [
                node("MatMul", ["pooled", "m1"], ["p"]), node("Add", ["p", "b1"], ["q"]), node("Relu", ["q"], ["r"]),
                node("Gemm", ["r", "m2", "b2"], ["y"], transB=1),
            ],
            ["gather", "linear", "linear"], np.int32,
        ),
        ([node("MatMul", ["pooled", "m1"], ["p"]), node("Relu", ["p"], ["y"])], ["gather", "linear"], np.int8),
    ],
)  # fmt: skip
def test_heads_within_the_graph(last: list[Any], kinds: list[str], dtype: type) -> None:
    graph = _headed(*last)
    compiled = compile_graph(graph, pictures(8), where="small")
    made = run(compiled.program, pictures(2))["y"]
    assert [step.kind for step in compiled.program.steps][-len(kinds) :] == kinds
    assert made.dtype == dtype
    assert _sqnr(graph, "y") > 22


def test_small_features_that_large_weights_read_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every channel counts the same in the end."""
    small = np.geomspace(1, 0.01, 8, dtype=np.float32)
    constants = {"w": np.abs(weights(8, 3, 3, 3)), "m": weights(24, 6) / np.tile(small, 3)[:, None]}
    constants["w"] *= small[:, None, None, None]
    nodes = [node("Conv", ["x", "w"], ["c"], strides=[2, 2]), *statistics("c"), node("MatMul", ["pooled", "m"], ["y"])]
    graph = model(nodes, constants, ["y"])
    with_it = _sqnr(graph, "y", seed=0)
    monkeypatch.setattr(quantising, "shares", lambda before, after: np.ones(len(before)))
    assert with_it > _sqnr(graph, "y", seed=0) + 3


def test_numbers_that_are_not_finite_are_refused() -> None:
    constants = {"w": np.full((3, 3, 1, 1), 1e38, np.float32)}
    nodes = [node("Conv", ["x" if n == 0 else f"c{n}", "w"], [f"c{n + 1}"]) for n in range(9)]
    with pytest.raises(InputError, match="numbers that are not finite"):
        compile_graph(model(nodes, constants, ["c9"]), pictures(1), where="small")


def test_the_same_program_from_the_same_pictures() -> None:
    first, second = (compile_graph(inverted_bottleneck(), pictures(), where="small").program for _ in range(2))
    other = compile_graph(inverted_bottleneck(), pictures(seed=1), where="small").program
    assert (first.digest == second.digest, first.digest == other.digest) == (True, False)


@pytest.mark.parametrize(
    ("constants", "nodes", "said"),
    [
        ({"w": np.full((4, 3, 1, 1), 1e-9), "b": np.ones(4)}, [node("Conv", ["x", "w", "b"], ["y"])], "biases of"),
        ({"w": weights(4, 5, 1, 1)}, [node("Conv", ["x", "w"], ["y"])], "expected 5 channels"),
        ({"w": weights(4, 3, 99, 99)}, [node("Conv", ["x", "w"], ["y"])], "expected an output of a sane size"),
        ({"w": weights(4, 3, 1, 1)}, [node("Conv", ["x", "w"], ["y"], pads=[10**6] * 4)], "a sane size"),
        ({"w": weights(4, 3, 1, 1)}, [node("Conv", ["x", "w"], ["y"], pads=[9**5] * 4, strides=[9**5] * 2)], "a sane"),
        ({"w": weights(4, 3, 1, 1)}, [node("Conv", ["x", "w"], ["a"]), node("Add", ["a", "x"], ["y"])], "of one shape"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused(constants: dict[str, np.ndarray], nodes: list[Any], said: str) -> None:
    graph = model(nodes, {name: value.astype(np.float32) for name, value in constants.items()}, ["y"])
    with pytest.raises(InputError, match=said):
        compile_graph(graph, pictures(2), where="small")


def test_epsilon_is_in_steps_of_the_variance() -> None:
    """Of a map of one colour, the deviation is the root of epsilon."""
    constants = {"w": weights(4, 3, 1, 1), "epsilon": np.array(0.04, np.float32)}
    graph = model([node("Conv", ["x", "w"], ["c"]), *statistics("c")], constants, ["std"])
    program = compile_graph(graph, pictures(4), where="small").program
    blank = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    assert program.step("std").values(run(program, blank)["std"]) == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize(
    "images", [np.zeros((0, SIZE, SIZE, 3), np.uint8), np.zeros((2, SIZE, SIZE, 3)), np.zeros((2, 4, 5, 3), np.uint8)]
)
def test_pictures_that_are_none_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected uint8 pictures"):
        compile_graph(inverted_bottleneck(), images, where="small")
