"""What every runtime must do. A plugin's author adds the runtime to `EXAMPLES` and runs this file.

Each runs a graph in its own format, with the outputs `pooled`, `tap0`, `tap1` and `tap2`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.conftest import Trunks
from tests.unit.compute.runtimes import tflite_graphs
from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.compute.runtimes.base import Session
from trunkline.core.errors import InputError

EXAMPLES = ("openvino", "onnxruntime", "litert", "fake")
REAL = ("openvino", "onnxruntime", "litert")
SIDE = 32
POOLED = ("pooled",)
ALL = ("pooled", "tap0", "tap2")

each = pytest.mark.parametrize("name", EXAMPLES)
Open = Callable[..., Session]
Graph = Callable[[str], Path]


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def graph(trunks: Trunks, tmp_path: Path) -> Graph:
    """The graph that a runtime takes."""

    def call(name: str) -> Path:
        if name != "litert":
            return trunks["test-trunk"].path(dense=True)
        path = tmp_path / "net.tflite"
        path.write_bytes(tflite_graphs.net())
        return path

    return call


@pytest.fixture
def opened(graph: Graph) -> Iterator[Open]:
    """Opens its graph in a runtime; closed at the end."""
    sessions: list[Session] = []

    def call(name: str, *, outputs: tuple[str, ...] = POOLED, threads: int = 2) -> Session:
        sessions.append(RUNTIMES.load(name)().open(graph(name), outputs=outputs, threads=threads))
        return sessions[-1]

    yield call
    for session in sessions:
        session.close()


def test_every_runtime_is_tried() -> None:
    assert set(RUNTIMES.names()) == set(EXAMPLES)
    assert set(MEASURED) == set(REAL) - {"litert"}  # the trunk is no TFLite graph


@each
def test_is_available_here(name: str) -> None:
    assert RUNTIMES.load(name)().available() == ""


@each
def test_gives_the_outputs_asked_for(name: str, opened: Open) -> None:
    session = opened(name, outputs=ALL)
    out = session.run(images(3))
    assert session.outputs == ALL
    assert {key: (len(value), value.dtype) for key, value in out.items()} == dict.fromkeys(ALL, (3, np.float32))
    assert (out["pooled"].ndim, out["tap0"].ndim) == (2, 4)


@each
def test_results_belong_to_the_caller(name: str, opened: Open) -> None:
    session = opened(name)
    first = session.run(images(3))["pooled"]
    kept = first.copy()
    session.run(images(3, seed=1))
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(session.run(images(3))["pooled"], kept)


@each
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("outputs", [POOLED, ALL], ids=["pooled", "all"])
def test_an_image_gives_the_same_bits_in_any_batch(
    name: str, threads: int, outputs: tuple[str, ...], opened: Open
) -> None:
    expected = opened(name, threads=1).run(images(16))["pooled"]
    session = opened(name, outputs=outputs, threads=threads)
    for sizes in ([16], [5, 5, 6], [3] * 5 + [1], [1] * 16):
        parts = np.split(images(16), np.cumsum(sizes)[:-1])
        ran = np.concatenate([session.run(part)["pooled"] for part in parts])
        streamed = np.concatenate([out["pooled"] for out in session.stream(parts)])
        assert (np.array_equal(ran, expected), np.array_equal(streamed, expected)) == (True, True), sizes


@each
def test_a_stream_keeps_the_order_of_its_batches(name: str, opened: Open) -> None:
    session = opened(name)
    batches = [images(1 + number % 4, seed=number) for number in range(9)]
    expected = [session.run(batch)["pooled"] for batch in batches]
    found = [out["pooled"] for out in session.stream(iter(batches))]
    assert [np.array_equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * 9
    assert list(session.stream(iter(()))) == []


@each
def test_a_stream_that_is_left_early_took_no_more_than_was_under_way(name: str, opened: Open) -> None:
    session = opened(name, threads=2)
    taken = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(50):
            taken.append(number)
            yield images(2, seed=number)

    stream = session.stream(batches())
    first = next(stream)["pooled"]
    stream.close()
    assert len(taken) <= 4
    assert np.array_equal(first, session.run(images(2, seed=0))["pooled"])
    assert len(list(session.stream(images(2) for _ in range(5)))) == 5


@each
def test_a_fault_of_the_batches_comes_through(name: str, opened: Open) -> None:
    session = opened(name)

    def batches() -> Iterator[np.ndarray]:
        yield images(2)
        yield images(2)
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk went away"):
        list(session.stream(batches()))
    assert len(session.run(images(2))["pooled"]) == 2
    assert len(list(session.stream([images(2)] * 4))) == 4


WRONG = {
    "float": images(2).astype(np.float32),
    "one picture without its batch": images(1)[0],
    "channels first": images(2).transpose(0, 3, 1, 2),
    "grey": images(2)[..., :1],
    "not square": images(2)[:, :16],
    "none": images(0),
    "flat": images(2).reshape(2, -1),
}


@each
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_pictures_are_refused(name: str, wrong: str, opened: Open) -> None:
    session = opened(name)
    with pytest.raises(ValueError, match=r"expected uint8 pictures of shape \(n, .*\), got "):
        session.run(WRONG[wrong])
    with pytest.raises(ValueError, match=r"expected uint8 pictures of shape \(n, .*\), got "):
        list(session.stream([images(2), images(2), WRONG[wrong]]))
    assert len(session.run(images(2))["pooled"]) == 2


@each
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        RUNTIMES.load(name)().open(tmp_path / "none.onnx", outputs=POOLED, threads=1)
    assert caught.value.where == str(tmp_path / "none.onnx")


@pytest.mark.parametrize("name", REAL)
def test_an_output_that_is_not_there_is_refused(name: str, graph: Graph) -> None:
    with pytest.raises(InputError, match=r"expected an output 'tap9', got .*pooled.*tap0"):
        RUNTIMES.load(name)().open(graph(name), outputs=("pooled", "tap9"), threads=1)


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "text": lambda data: b"this is not a graph\n" * 40,
    "zeros": lambda data: bytes(4096),
    "noise": lambda data: np.random.default_rng(1).bytes(len(data)),
    "cut in half": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-40],
    "begins wrong": lambda data: b"\xff" * 16 + data[16:],
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("kind", HOSTILE)
def test_bytes_that_are_no_graph_are_refused(name: str, kind: str, graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / f"hostile{graph(name).suffix}"
    path.write_bytes(HOSTILE[kind](graph(name).read_bytes()))
    with pytest.raises(InputError) as caught:
        RUNTIMES.load(name)().open(path, outputs=POOLED, threads=1)
    assert caught.value.where == str(path)


@each
def test_closed_it_holds_no_threads_and_answers_nothing(name: str, opened: Open) -> None:
    before = set(threading.enumerate())
    session = opened(name)
    list(session.stream([images(2)] * 4))
    session.close()
    session.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(ValueError, match="this one was closed"):
        session.run(images(2))
    with pytest.raises(ValueError, match="this one was closed"):
        list(session.stream([images(2)]))


USE = f"""
import sys, numpy, pathlib
from trunkline.compute.runtimes import RUNTIMES
runtime = RUNTIMES.load(sys.argv[1])()
print(runtime.available())
session = runtime.open(pathlib.Path(sys.argv[2]), outputs=("pooled",), threads=1)
pooled = session.run(numpy.zeros((1, {SIDE}, {SIDE}, 3), numpy.uint8))["pooled"]
session.close()
print((len(pooled), pooled.ndim))
"""


@each
def test_nothing_is_written_beside_the_home(name: str, graph: Graph, tmp_path: Path) -> None:
    """ONNX Runtime keeps a device id and a store of telemetry in the user's cache, unless it is told not to."""
    home = tmp_path / "home"
    home.mkdir()
    words = [sys.executable, "-c", USE, name, str(graph(name))]
    done = subprocess.run(
        words, env={"HOME": str(home), "PATH": ""}, cwd=home, capture_output=True, text=True, check=True
    )
    assert (done.stdout, list(home.iterdir())) == ("\n(1, 2)\n", [])
