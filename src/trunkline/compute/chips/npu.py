"""`npu-int8` in the table of chips: it is simulated bit by bit, so there is no time to measure, only cycles."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.base import Way
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    from trunkline.compute.runtimes.base import Session


class NpuInt8:
    """An INT8 accelerator that exists as arithmetic (`compute.chips.npu_int8`)."""

    def available(self) -> str:
        missing = [package for package in ("onnx", "scalesim") if find_spec(package) is None]
        return f"{' and '.join(missing)} missing: pip install 'trunkline[build,npu]'" if missing else ""

    def describe(self) -> dict[str, Any]:
        return {
            "fast": ["int8"],
            "notes": [
                "simulated: 8 bits linear, symmetric, a scale a tensor, accumulators of 32 bits; cycles, no time"
            ],
        }

    def ways(self) -> tuple[Way, ...]:
        return ()

    def open(self, way: Way, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        raise InputError("npu-int8 is simulated and runs no streams", fix="`trunkline bench chip --chip npu-int8`")

    def used(self, session: Session, way: Way) -> str:
        return "int8"
