"""LiteRT beyond the contract: what goes in and comes out in each type, and graphs that are made to do harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.compute.runtimes import tflite_graphs as graphs
from trunkline.compute.runtimes import litert
from trunkline.compute.runtimes.litert import Facts, LiteRTRuntime, LiteRTSession
from trunkline.core.errors import InputError, MissingExtraError

Open = Callable[..., LiteRTSession]


def children() -> set[str]:
    """Processes that this one started."""
    tasks = Path("/proc/self/task").iterdir()
    return {number for task in tasks for number in (task / "children").read_text().split()}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a graph's bytes; closed at the end."""
    sessions: list[LiteRTSession] = []

    def call(data: bytes, **options: Any) -> LiteRTSession:
        path = tmp_path / "net.tflite"
        path.write_bytes(data)
        sessions.append(LiteRTRuntime().open(path, outputs=(), threads=1, **options))
        return sessions[-1]

    yield call
    for session in sessions:
        session.close()


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (graphs.net(), Facts((32, 32), "uint8", ("pooled", "tap0", "tap1", "tap2"), ())),
        (graphs.echo("INT8", 0.5, 3), Facts((2, 3), "int8", ("same",), ())),
        (graphs.echo("FLOAT32"), Facts((2, 3), "float32", ("same",), ())),
        (graphs.detector(), Facts((8, 8), "uint8", ("out:0", "out:2", "out:1", "out:3"), (3, 2, 1, 0))),
    ],
    ids=["net", "int8", "float32", "detector"],
)
def test_what_a_graph_says_of_itself(data: bytes, facts: Facts, opened: Open) -> None:
    session = opened(data)
    assert (session.facts, session.outputs) == (facts, facts.outputs)


@pytest.mark.parametrize(
    ("graph", "scaling", "expected"),
    [
        (("UINT8",), None, lambda x: x),
        (("UINT8", 0.5, 3), None, lambda x: (x - 3) * 0.5),
        (("INT8", 0.5, 3), None, lambda x: (x - 128 - 3) * 0.5),
        (("FLOAT32",), None, lambda x: x),
        (("FLOAT32",), (100, 2), lambda x: (x - 100) / 2),
        (("UINT8", 0.5, 3), (100, 2), lambda x: np.clip((x - 100) / 2, -1.5, 126)),
        (("INT8", 0.5, 3), (100, 2), lambda x: np.clip((x - 100) / 2, -65.5, 62)),
    ],
    ids=["uint8", "scaled uint8", "scaled int8", "float32", "float32, mean", "scaled uint8, mean", "scaled int8, mean"],
)
def test_pixels_go_in_as_the_graph_takes_them_and_come_out_as_numbers(
    graph: tuple[Any, ...], scaling: tuple[float, float] | None, expected: Any, opened: Open
) -> None:
    pixels = np.arange(0, 252, 14, dtype=np.uint8).reshape(1, 2, 3, 3)
    options = {"mean": [scaling[0]] * 3, "scale": [scaling[1]] * 3} if scaling else {}
    out = opened(graphs.echo(*graph), **options).run(pixels)["same"]
    assert np.array_equal(out, expected(pixels.astype(np.float32)).reshape(1, 18))


def test_mean_and_scale_are_those_of_the_channels(opened: Open) -> None:
    session = opened(graphs.echo("FLOAT32"), mean=[1, 2, 3], scale=[1, 2, 4])
    out = session.run(np.full((1, 2, 3, 3), 11, np.uint8))["same"]
    assert out.tolist() == [[10, 4.5, 2] * 6]


def test_pictures_that_are_not_square_are_taken_and_squares_are_refused(opened: Open) -> None:
    session = opened(graphs.echo("UINT8"))
    with pytest.raises(ValueError, match=r"of shape \(n, 2, 3, 3\), got uint8 \(1, 3, 2, 3\)"):
        session.run(np.zeros((1, 3, 2, 3), np.uint8))
    assert session.run(np.zeros((2, 2, 3, 3), np.uint8))["same"].shape == (2, 18)


def _inputs(*shapes: tuple[int, ...], dtype: str = "FLOAT32") -> bytes:
    build = graphs.Builder()
    inputs = [build.tensor(f"input{at}", shape, dtype) for at, shape in enumerate(shapes)]
    out = build.tensor("out", shapes[0], dtype)
    build.operator("ABS", [inputs[0]], [out], "AbsOptions")
    return build.to_bytes(inputs, [out])


def _custom() -> bytes:
    build = graphs.Builder()
    images, out = build.tensor("images", (1, 2, 3, 3)), build.tensor("out", (1, 2, 3, 3))
    build.operator("MyOwn", [images], [out], custom=b"\0")
    return build.to_bytes([images], [out])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_inputs((1, 3, 8, 8)), r"expected an input of one RGB picture, .*, got float32 \(1, 3, 8, 8\)"),
        (_inputs((1, 8, 8, 1)), r"got float32 \(1, 8, 8, 1\)"),
        (_inputs((8, 8, 8, 3)), r"got float32 \(8, 8, 8, 3\)"),
        (_inputs((1, 192)), r"got float32 \(1, 192\)"),
        (_inputs((1, 8, 8, 3), dtype="INT32"), r"got int32 \(1, 8, 8, 3\)"),
        (_inputs((1, 8, 8, 3), (1, 4)), "expected a graph with one input, got 2"),
        (_custom(), "unresolved custom op: MyOwn"),
        (graphs.detector(options=False), r"the graph crashed LiteRT \(SIGSEGV\)"),
        (graphs.vast(), "LiteRT cannot run the graph"),
    ],
    ids=["channels first", "grey", "batch of 8", "flat", "int32", "two inputs", "custom", "crash", "memory"],
)
def test_graphs_that_are_not_taken(data: bytes, said: str, opened: Open, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        opened(data)
    assert caught.value.where == str(tmp_path / "net.tflite")


def test_scaling_of_whole_numbers_without_a_scale_is_refused(opened: Open) -> None:
    with pytest.raises(InputError, match="takes whole numbers without a scale; leave mean and scale out"):
        opened(graphs.echo("UINT8"), mean=[0, 0, 0], scale=[1, 1, 1])


def test_outputs_that_fill_the_memory_are_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "_MOST_ANSWER", 3 << 20)
    session = opened(graphs.vast(500))
    for said in ("expected outputs of at most 3 MB a batch, got 5 MB", "ended LiteRT"):
        with pytest.raises(InputError, match=said):
            session.run(np.zeros((2, 2, 3, 3), np.uint8))


def test_a_loop_without_an_end_is_ended(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "_SECONDS", 1)
    session = opened(graphs.endless())
    for _ in range(2):  # and it stays ended
        with pytest.raises(InputError, match="the graph took over 1 s"):
            session.run(np.zeros((1, 2, 3, 3), np.uint8))


def test_a_process_that_is_killed_is_told(opened: Open) -> None:
    before = children()
    session = opened(graphs.net())
    (child,) = children() - before
    os.kill(int(child), signal.SIGKILL)
    with pytest.raises(InputError, match="ended LiteRT, or its process was killed"):
        list(session.stream([np.zeros((1, 32, 32, 3), np.uint8)] * 3))


def test_closed_it_leaves_no_process(opened: Open) -> None:
    before = children()
    session = opened(graphs.net())
    assert len(children() - before) == 1
    session.close()
    assert children() <= before
    with pytest.raises(InputError):
        opened(graphs.detector(options=False))
    assert children() <= before


def test_the_present_folder_and_the_terminal_do_not_reach_the_process(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trunkline", "numpy", "ai_edge_litert"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    before = children()
    session = opened(graphs.net())
    (child,) = children() - before
    os.kill(int(child), signal.SIGINT)
    assert session.run(np.zeros((1, 32, 32, 3), np.uint8))["pooled"].shape == (1, 8)


LEAVES = """
import os, pathlib, sys
from trunkline.compute.runtimes.litert import LiteRTRuntime
session = LiteRTRuntime().open(pathlib.Path(sys.argv[1]), outputs=(), threads=1)
print(pathlib.Path("/proc/self/task", str(os.getpid()), "children").read_text(), flush=True)
os._exit(0)
"""


def test_the_process_ends_with_its_caller(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(graphs.net())
    done = subprocess.run([sys.executable, "-c", LEAVES, str(path)], capture_output=True, text=True, check=True)
    place = Path("/proc", done.stdout.strip(), "cmdline")
    end = time.monotonic() + 10
    while place.is_file() and b"litert_worker" in place.read_bytes() and time.monotonic() < end:
        time.sleep(0.02)
    assert time.monotonic() < end


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_changed_bytes_give_an_answer_or_an_error(seed: int, opened: Open) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(graphs.detector(), np.uint8).copy()
    data[rng.integers(0, len(data), 2)] = rng.integers(0, 256, 2)
    try:
        said = [len(out) for out in opened(data.tobytes()).run(np.zeros((2, 8, 8, 3), np.uint8)).values()]
    except (InputError, ValueError) as error:
        said = [str(error)]
    assert said


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    with path.open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(InputError, match="expected a graph of at most 1 GB"):
        LiteRTRuntime().open(path, outputs=(), threads=1)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert "ai_edge_litert" in LiteRTRuntime().available()
    with pytest.raises(MissingExtraError, match=r"pip install 'trunkline\[litert\]'"):
        LiteRTRuntime().open(tmp_path / "net.tflite", outputs=(), threads=1)
