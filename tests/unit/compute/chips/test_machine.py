"""What a machine is said to be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trunkline.compute.chips import machine as module

INTEL = "processor\t: 0\nmodel name\t: A Chip @ 2 GHz\nflags\t\t: fpu avx2 amx_int8\n\nmodel name\t: B\nflags\t: sve\n"
ARM = "processor : 0\nFeatures : fp asimd sve\n"


def test_machine_is_json_with_what_goes_beside_a_figure() -> None:
    facts = module.machine()
    assert json.loads(json.dumps(facts)) == facts
    assert list(facts) == ["cpu", "cores", "features", "memory_gb", "system", "python", "versions"]
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert 0.1 < facts["memory_gb"] < 100_000
    assert all(facts["versions"][package] for package in ("openvino", "onnxruntime", "numpy"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INTEL, ("A Chip @ 2 GHz", {"fpu", "avx2", "amx_int8"})),
        (ARM, ("some chip", {"fp", "asimd", "sve"})),
        ("", ("some chip", set())),
    ],
)
def test_cpu_is_read_from_linux(text: str, expected: tuple[str, set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.processor", lambda: "some chip")
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert module._cpu() == expected


def test_cpu_elsewhere_is_what_python_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, encoding: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr(Path, "read_text", missing)
    assert module._cpu() == ("riscv64", set())


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert module._version("no-such-package-here") == ""
