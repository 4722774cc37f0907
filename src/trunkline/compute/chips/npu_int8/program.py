"""A compiled program: integers only, frozen, the same bytes and digest wherever it was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np

from trunkline.compute.chips.npu_int8.arithmetic import ACCUMULATOR, LIMIT, Scale
from trunkline.compute.chips.npu_int8.layers import Geometry, Kind
from trunkline.core.digest import canonical_json, digest_bytes, digest_json
from trunkline.core.errors import InputError

VERSION = 1
MOST_QUOTIENT_SHIFT = 36  # a length of up to 2^20 channels of 15 bits is under 2^25; twice it, shifted, under 2^63
_ARRAYS: Mapping[str, Mapping[str, str]] = {
    "image": {"table": "int8"},
    "conv": {"weight": "int8", "bias": "int32", "multipliers": "int32", "low": "int8", "high": "int8"},
    "linear": {"weight": "int8", "bias": "int32"},
    "add": {"multipliers": "int32", "low": "int8", "high": "int8"},
    "clip": {"low": "int8", "high": "int8"},
    "gather": {"multipliers": "int32"},
    "contrast": {"multipliers": "int32"},
}
"""Arrays of each kind of step, with their types; a linear step inside a network has a convolution's."""


@dataclass(frozen=True)
class Step:
    """One step of a program.

    Attributes:
        kind: What it does.
        name: The node's name.
        inputs: Names of tensors.
        output: Name of the tensor that it makes.
        columns: Channels with their scale, in order: (number of channels, scale) one or more times.
        arrays: Integers, by name; see `_ARRAYS`.
        shift: Of the requantisation.
        geometry: Of a convolution.
        epsilon: std: what is added to the variance, in steps of its square.
        channels: contrast: channels of each tap.
    """

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    output: str
    columns: tuple[tuple[int, Scale], ...]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    shift: int = 1
    geometry: Geometry = field(default_factory=Geometry)
    epsilon: int = 0
    channels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not 1 <= self.shift <= 62 or not 0 <= self.epsilon < 2**40:
            raise ValueError(f"expected a step of npu-int8, got {self.kind!r}, shift {self.shift}, {self.epsilon}")
        found = {name: str(array.dtype) for name, array in self.arrays.items()}
        allowed = [_ARRAYS.get(self.kind, {})] + ([_ARRAYS["conv"]] if self.kind == "linear" else [])
        if found not in allowed:
            raise ValueError(f"expected arrays {allowed[0]} of a step {self.kind}, got {found}")
        lows = {name: int(array.min(initial=0)) for name, array in self.arrays.items() if name != "bias"}
        if any(low < (0 if name == "multipliers" else -LIMIT) for name, low in lows.items()):
            raise ValueError(f"expected int8 of -{LIMIT} to {LIMIT} and multipliers from 0 on, got {lows}")
        if self.kind == "contrast" and (self.shift > MOST_QUOTIENT_SHIFT or 3 * sum(self.channels) != self.width):
            raise ValueError(f"expected a quotient within 62 bits over taps, got shift {self.shift}, {self.channels}")
        if "weight" in self.arrays and self.largest > ACCUMULATOR:
            raise ValueError(f"expected sums of at most 2^31 - 1, the worst case is {self.largest}")

    @cached_property
    def largest(self) -> int:
        """What no accumulator of a product can pass, whatever comes in: sum |w| x 127 + |bias|."""
        weight = self.arrays["weight"]
        sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1) * LIMIT
        return int((sums + np.abs(self.arrays["bias"].astype(np.int64))).max(initial=0))

    @property
    def width(self) -> int:
        """Channels of the output."""
        return sum(count for count, _ in self.columns)

    def values(self, integers: np.ndarray) -> np.ndarray:
        """The real numbers that integers (..., width) stand for, float64."""
        return np.asarray(integers * np.repeat([float(s) for _, s in self.columns], [n for n, _ in self.columns]))

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, JSON only."""
        walk = self.geometry
        return {
            "kind": self.kind, "name": self.name, "inputs": list(self.inputs), "output": self.output,
            "columns": [[count, scale.mantissa, scale.exponent] for count, scale in self.columns],
            "arrays": sorted(self.arrays), "shift": self.shift, "epsilon": self.epsilon,
            "channels": list(self.channels),
            "geometry": [list(walk.strides), list(walk.dilations), list(walk.pads), walk.groups],
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Step:
        strides, dilations, pads, groups = row["geometry"]
        return cls(
            kind=row["kind"], name=str(row["name"]), inputs=tuple(map(str, row["inputs"])), output=str(row["output"]),
            columns=tuple((int(n), Scale(int(m), int(e))) for n, m, e in row["columns"]), arrays=arrays,
            shift=int(row["shift"]), geometry=_geometry(strides, dilations, pads, groups), epsilon=int(row["epsilon"]),
            channels=tuple(map(int, row["channels"])),
        )  # fmt: skip


def _geometry(strides: list[int], dilations: list[int], pads: list[int], groups: int) -> Geometry:
    (sy, sx), (dy, dx), (top, left, bottom, right) = strides, dilations, pads
    if min(sy, sx, dy, dx, groups) < 1 or not 0 <= min(pads) <= max(pads) <= 4096:
        raise ValueError(f"expected strides, dilations and groups from 1 on, pads from 0 on, got {strides}, {pads}")
    return Geometry((int(sy), int(sx)), (int(dy), int(dx)), (int(top), int(left), int(bottom), int(right)), int(groups))


@dataclass(frozen=True)
class Program:
    """What the chip runs.

    Attributes:
        source: Digest of what it was compiled from.
        takes: "images": uint8 (n, size, size, 3), or "features": the integers of another program's output.
        size: Height and width of the pictures; of features their number.
        steps: In the order in which they run.
        outputs: Names of the tensors that a run gives.
    """

    source: str
    takes: str
    size: int
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.takes not in ("images", "features") or not 1 <= self.size <= 1 << 20:
            raise ValueError(f"expected a program on images or features, got {self.takes!r} of {self.size}")
        known = {"features"} if self.takes == "features" else set()
        for step in self.steps:
            if not known.issuperset(step.inputs) or step.output in known:
                raise ValueError(f"expected steps in their order, {step.output!r} needs {step.inputs}")
            known.add(step.output)
        if not self.outputs or not known.issuperset(self.outputs):
            raise ValueError(f"expected outputs that steps make, got {self.outputs}")

    def step(self, output: str) -> Step:
        """The step that makes a tensor.

        Raises:
            KeyError: When there is none.
        """
        return {step.output: step for step in self.steps}[output]

    def _meta(self) -> dict[str, Any]:
        return {
            "version": VERSION, "chip": "npu-int8", "source": self.source, "takes": self.takes, "size": self.size,
            "steps": [step.to_json() for step in self.steps], "outputs": list(self.outputs),
        }  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """SHA-256 over steps and integers: two programs of one digest give the same integers."""
        arrays = {
            f"{at}.{name}": [str(array.dtype), list(array.shape), digest_bytes(_little(array).tobytes())]
            for at, step in enumerate(self.steps)
            for name, array in step.arrays.items()
        }
        return digest_json({"meta": self._meta(), "arrays": arrays})

    def to_files(self) -> dict[str, bytes]:
        """`program.json` and `program.safetensors`, the same bytes for the same program."""
        from safetensors.numpy import save

        arrays = {
            f"{at}.{name}": _little(array)
            for at, step in enumerate(self.steps)
            for name, array in sorted(step.arrays.items())
        }
        meta = canonical_json({**self._meta(), "digest": self.digest})
        return {"program.json": meta, "program.safetensors": save(arrays)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, where: str) -> Program:
        """A program as `to_files` wrote it.

        Raises:
            InputError: When it is of a newer version, damaged, or its digest is another than it says.
        """
        from safetensors.numpy import load

        try:
            meta = json.loads(files["program.json"])
            if meta["version"] != VERSION or meta["chip"] != "npu-int8":
                raise ValueError(f"expected version {VERSION}, got {meta['version']!r} for {meta['chip']!r}")
            arrays = load(files["program.safetensors"])
            steps = [
                Step.from_json(row, {name: arrays[f"{at}.{name}"] for name in row["arrays"]})
                for at, row in enumerate(meta["steps"])
            ]
            outputs = tuple(map(str, meta["outputs"]))
            program = cls(str(meta["source"]), str(meta["takes"]), int(meta["size"]), tuple(steps), outputs)
            if program.digest != meta["digest"]:
                raise ValueError(f"it was changed: expected the digest {meta['digest']}, got {program.digest}")
        except Exception as error:  # safetensors' own type, and whatever a damaged file leads to
            raise InputError(
                f"expected a program of npu-int8: {type(error).__name__}: {str(error)[:300]}",
                where=where,
                fix="compile it again",
            ) from error
        return program


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
