"""An NVIDIA graphics processor, through ONNX Runtime's CUDA provider, where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.base import Way
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    from trunkline.compute.runtimes.base import Session

PROVIDER = "CUDAExecutionProvider"


class Cuda:
    """The first CUDA device."""

    def available(self) -> str:
        from trunkline.compute.runtimes.onnxruntime import providers

        found = providers()
        if PROVIDER in found:
            return ""
        said = ", ".join(found) or "nothing: it cannot be imported"
        return f"ONNX Runtime here offers {said}, and no {PROVIDER}: that is in the package onnxruntime-gpu, with CUDA"

    def describe(self) -> dict[str, Any]:
        return {"provider": PROVIDER, "device": 0, "fast": ["fp32"], "notes": []}

    def ways(self) -> tuple[Way, ...]:
        return (Way("onnxruntime", chip="cuda"),)

    def open(self, way: Way, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        from trunkline.compute.runtimes.onnxruntime import ONNXRuntime

        reason = self.available()
        if reason or way not in self.ways():
            raise InputError(reason or f"expected {self.ways()[0]}, got {way}", where="chip cuda")
        return ONNXRuntime().open(model, outputs=outputs, threads=threads, provider=PROVIDER)

    def used(self, session: Session, way: Way) -> str:
        return "fp32"
