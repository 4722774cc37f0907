"""CUDA through ONNX Runtime: with a list of providers that is made up, for there is no such device here."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from trunkline.algorithms.trunks import resolve
from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cuda import PROVIDER, Cuda
from trunkline.compute.runtimes import onnxruntime as runtime
from trunkline.core.errors import InputError

WAY = Way("onnxruntime", chip="cuda")


@pytest.mark.parametrize(
    ("providers", "reason"),
    [
        ([PROVIDER, "CPUExecutionProvider"], ""),
        (["CPUExecutionProvider"], "ONNX Runtime here offers CPUExecutionProvider, and no CUDAExecutionProvider"),
        ([], "ONNX Runtime here offers nothing: it cannot be imported"),
    ],
)
def test_it_is_there_when_the_provider_is(providers: list[str], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "providers", lambda: providers)
    found = Cuda().available()
    assert (found == "", found.startswith(reason)) == (reason == "", True)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ONNX Runtime says that it has the provider, and gives it the graph in the CPU's place."""
    asked: list[str] = []
    genuine = runtime.ONNXRuntime.open

    def open_(self: runtime.ONNXRuntime, model: Path, *, provider: str, **options: object) -> object:
        asked.append(provider)
        return genuine(self, model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(runtime, "providers", lambda: [PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(runtime.ONNXRuntime, "open", open_)
    return asked


def test_graphs_go_to_the_provider(pretended: list[str], home: Path) -> None:
    session = Cuda().open(WAY, resolve("test-trunk", home).path(), outputs=("pooled",), threads=1)
    session.close()
    assert (pretended, Cuda().used(session, WAY)) == ([PROVIDER], "fp32")


@pytest.mark.parametrize("way", [Way("onnxruntime"), Way("openvino", chip="cuda"), Way("onnxruntime", "int8", "cuda")])
def test_other_ways_are_refused(way: Way, pretended: list[str], home: Path) -> None:
    with pytest.raises(InputError, match="expected onnxruntime fp32 on cuda"):
        Cuda().open(way, resolve("test-trunk", home).path(), outputs=("pooled",), threads=1)


def test_a_device_that_does_not_start_is_no_cpu_in_disguise(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "providers", lambda: [PROVIDER])
    with warnings.catch_warnings(), pytest.raises(InputError, match=f"ONNX Runtime could not start {PROVIDER}"):
        warnings.simplefilter("ignore")
        Cuda().open(WAY, resolve("test-trunk", home).path(), outputs=("pooled",), threads=1)


def test_without_it_nothing_is_opened(home: Path) -> None:
    with pytest.raises(InputError, match="and no CUDAExecutionProvider"):
        Cuda().open(WAY, resolve("test-trunk", home).path(), outputs=("pooled",), threads=1)
