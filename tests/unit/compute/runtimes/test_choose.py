"""The faster runtime is measured once and remembered; whatever it was measured for changes, it is measured again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.compute.runtimes import choose as module
from trunkline.compute.runtimes.choose import choose, measure, prefer
from trunkline.core.errors import InputError, NotFoundError, StorageError

SPEEDS = {"openvino": 10.0, "onnxruntime": 30.0}
MACHINE = {"cpu": "a", "cores": 2}
ASKED: dict[str, Any] = {"key": "0" * 64, "side": 32, "threads": 2, "batch": 16}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Graphs that were measured; ONNX Runtime comes out three times as fast."""
    calls: list[Path] = []

    def fake(model: Path, *, side: int, threads: int, batch: int) -> tuple[dict[str, float], dict[str, str]]:
        calls.append(model)
        time.sleep(0.01)
        return dict(SPEEDS), {}

    monkeypatch.setattr(module, "measure", fake)
    monkeypatch.setattr(module, "machine", lambda: MACHINE)
    return calls


def test_is_measured_once_and_remembered(measured: list[Path], home: Path) -> None:
    assert [choose(Path("net"), home=home, **ASKED) for _ in range(3)] == ["onnxruntime"] * 3
    assert measured == [Path("net")]
    rows = json.loads((home / "runtimes.json").read_bytes()).values()
    assert list(rows) == [
        {
            "runtime": "onnxruntime", "images_per_second": SPEEDS, "not_available": {},
            "facts": {"machine": MACHINE, "graph": "0" * 64, "threads": 2, "batch": 16},
        }
    ]  # fmt: skip


def test_a_home_that_can_only_be_read_is_measured_each_time(
    measured: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> Any:
        raise StorageError("this disk cannot be written, only read", where=str(path))

    monkeypatch.setattr(module, "locked", refused)
    assert [choose(Path("net"), home=home, **ASKED) for _ in range(2)] == ["onnxruntime"] * 2
    assert (len(measured), home.exists()) == (2, False)


def test_two_at_once_measure_once(measured: list[Path], home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        chosen = list(pool.map(lambda _: choose(Path("net"), home=home, **ASKED), range(4)))
    assert (chosen, len(measured)) == (["onnxruntime"] * 4, 1)


@pytest.mark.parametrize("change", [{"key": "1" * 64}, {"threads": 1}, {"batch": 1}], ids=str)
def test_another_question_is_measured_of_its_own(change: dict[str, Any], measured: list[Path], home: Path) -> None:
    choose(Path("net"), home=home, **ASKED)
    choose(Path("net"), home=home, **{**ASKED, **change})
    choose(Path("net"), home=home, **ASKED)
    assert len(measured) == 2


def test_another_machine_is_measured_again(measured: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(Path("net"), home=home, **ASKED)
    monkeypatch.setattr(module, "machine", lambda: {**MACHINE, "cores": 4})
    choose(Path("net"), home=home, **ASKED)
    assert len(measured) == 2


def torn(home: Path, row: Any) -> bytes:
    entry = next(iter(json.loads((home / "runtimes.json").read_bytes())))
    return json.dumps({entry: row}).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda home: b"",
        lambda home: b'{"half',
        lambda home: b"\xff\xfe",
        lambda home: b"[1, 2]",
        lambda home: b"null",
        lambda home: torn(home, "onnxruntime"),
        lambda home: torn(home, {}),
        lambda home: torn(home, {"runtime": ["openvino"]}),
        lambda home: torn(home, {"runtime": "fake"}),
        lambda home: torn(home, {"runtime": "no-longer-there"}),
    ],
)
def test_a_spoilt_memory_is_measured_again(spoil: Callable[[Path], bytes], measured: list[Path], home: Path) -> None:
    choose(Path("net"), home=home, **ASKED)
    (home / "runtimes.json").write_bytes(spoil(home))
    assert choose(Path("net"), home=home, **ASKED) == "onnxruntime"
    assert choose(Path("net"), home=home, **ASKED) == "onnxruntime"
    assert len(measured) == 2


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({"openvino": 10, "onnxruntime": 9}, "openvino"),
        ({"openvino": 10, "onnxruntime": 12}, "openvino"),
        ({"openvino": 10, "onnxruntime": 20}, "openvino"),
        ({"openvino": 10, "onnxruntime": 21}, "onnxruntime"),
        ({"onnxruntime": 5}, "onnxruntime"),
    ],
)
def test_the_first_is_kept_unless_another_is_clearly_faster(speeds: dict[str, float], expected: str) -> None:
    assert prefer(speeds) == expected


def test_a_name_is_taken_as_it_is(measured: list[Path], home: Path) -> None:
    assert [choose(Path("net"), home=home, wanted=name, **ASKED) for name in RUNTIMES.names()] == RUNTIMES.names()
    assert (measured, (home / "runtimes.json").exists()) == ([], False)


def test_an_unknown_name_is_refused_with_near_ones(home: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        choose(Path("net"), home=home, wanted="openvin", **ASKED)
    assert str(caught.value) == "setting runtime: no runtime named 'openvin'\n  fix: did you mean 'openvino'?"


class Broken:
    """A runtime that fails in a given place."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.outputs = ("pooled",)
        self.closed = False

    def __call__(self) -> Broken:
        return self

    def available(self) -> str:
        return "ImportError: libnothing.so" if self.place == "import" else ""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> Broken:
        if self.place == "open":
            raise InputError("it cannot read the graph")
        return self

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        if self.place == "run":
            raise RuntimeError("no kernel for Conv")
        return {"pooled": np.zeros((len(images), 4), np.float32)}

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        return (self.run(batch) for batch in batches)

    def close(self) -> None:
        self.closed = True


REASONS = {
    "import": "ImportError: libnothing.so",
    "open": "it cannot read the graph",
    "run": "RuntimeError: no kernel for Conv",
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Broken]]:
    """Puts runtimes that fail in given places into the table, in the order of `MEASURED`."""

    def call(*places: str) -> dict[str, Broken]:
        made = dict(zip(MEASURED, map(Broken, places), strict=True))
        monkeypatch.setattr(RUNTIMES, "load", lambda name, where=None: made[name])
        monkeypatch.setattr(module, "_SECONDS", 0.0)
        return made

    return call


class Timed(Broken):
    """A runtime that waits for so many milliseconds a batch, and computes for so many."""

    def __init__(self, waits: float, computes: float) -> None:
        super().__init__("")
        self.waits, self.computes = waits / 1e3, computes / 1e3

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        time.sleep(self.waits)
        end = time.process_time() + self.computes
        while time.process_time() < end:
            pass
        return super().run(images)


def test_cores_that_another_program_takes_in_every_round_make_no_runtime_twice_as_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = dict(zip(MEASURED, (Timed(waits=60, computes=4), Timed(waits=0, computes=4)), strict=True))
    monkeypatch.setattr(RUNTIMES, "load", lambda name, where=None: made[name])
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    speeds, _ = measure(Path("net"), side=8, threads=1, batch=2)
    assert prefer(speeds) == MEASURED[0]


@pytest.mark.parametrize("place", REASONS)
def test_one_that_does_not_work_leaves_the_other(place: str, table: Callable[..., dict[str, Broken]]) -> None:
    made = table(place, "")
    speeds, reasons = measure(Path("net"), side=8, threads=1, batch=2)
    assert (list(speeds), reasons) == (["onnxruntime"], {"openvino": REASONS[place]})
    assert [one.closed for one in made.values()] == [place == "run", True]


def test_none_that_works_is_said_with_all_reasons(home: Path, table: Callable[..., dict[str, Broken]]) -> None:
    table("import", "run")
    with pytest.raises(InputError) as caught:
        choose(Path("net"), home=home, **ASKED)
    assert caught.value.message == (
        "no runtime works on this machine: openvino: ImportError: libnothing.so; "
        "onnxruntime: RuntimeError: no kernel for Conv"
    )
    assert not (home / "runtimes.json").exists()


def test_a_named_one_that_does_not_work_is_said(home: Path, table: Callable[..., dict[str, Broken]]) -> None:
    table("import", "")
    with pytest.raises(InputError, match="'openvino' cannot be used here: ImportError: "):
        choose(Path("net"), home=home, wanted="openvino", **ASKED)
