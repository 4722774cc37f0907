"""The processor: OpenVINO in four precisions, ONNX Runtime in two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.base import PRECISIONS, Way
from trunkline.compute.chips.machine import machine
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    from trunkline.compute.runtimes.base import Session

_UNITS = {
    "bf16": ("amx_bf16", "avx512_bf16", "bf16"),
    "fp16": ("amx_fp16", "avx512_fp16", "asimdhp"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm"),
}
"""Instruction sets that multiply in a precision and add in a wider one, by the names that Linux has for them."""
_WAYS = (
    Way("openvino"),
    Way("onnxruntime"),
    Way("openvino", "bf16"),
    Way("openvino", "fp16"),
    Way("openvino", "int8"),
    Way("onnxruntime", "int8"),
)


class Cpu:
    """This machine's processor."""

    def available(self) -> str:
        return ""

    def describe(self) -> dict[str, Any]:
        facts = machine()
        fast = fast_precisions(facts["features"])
        notes = [
            f"no instruction set here multiplies {precision} ({', '.join(units)} would)"
            for precision, units in _UNITS.items()
            if precision not in fast
        ]
        named = {key: facts[key] for key in ("cpu", "cores", "features", "memory_gb", "system")}
        return {**named, "fast": fast, "notes": notes}

    def ways(self) -> tuple[Way, ...]:
        return _WAYS

    def open(self, way: Way, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        from trunkline.compute.runtimes import RUNTIMES

        if way.runtime == "openvino":
            # An INT8 graph says itself what is INT8 in it; the rest of it stays in float32.
            hint = "fp32" if way.precision == "int8" else way.precision
            opened: Session = RUNTIMES.load("openvino")().open(model, outputs=outputs, threads=threads, precision=hint)
            return opened
        if way.precision not in ("fp32", "int8"):
            raise InputError(
                f"expected fp32 or int8 in {way.runtime} on a CPU, got {way.precision}",
                fix="name the runtime openvino, or another precision",
            )
        plain: Session = RUNTIMES.load(way.runtime)().open(model, outputs=outputs, threads=threads)
        return plain

    def used(self, session: Session, way: Way) -> str:
        """OpenVINO tells; ONNX Runtime runs what the graph says."""
        return str(getattr(session, "precision", way.precision))


def fast_precisions(features: list[str]) -> list[str]:
    """The precisions that a processor with these instruction sets has units for."""
    return [name for name in PRECISIONS if name == "fp32" or set(_UNITS[name]) & set(features)]
