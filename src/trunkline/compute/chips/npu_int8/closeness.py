"""How close the chip's tensors are to those of the float graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trunkline.compute.chips.npu_int8.constants import import_onnx


@dataclass(frozen=True, slots=True)
class Closeness:
    """Sums over pairs of tensors.

    Attributes:
        real: Sum of squares of the float tensors.
        chip: Of the chip's.
        both: Sum of products.
        error: Sum of squares of the differences.
        largest: Largest difference.
    """

    real: float = 0.0
    chip: float = 0.0
    both: float = 0.0
    error: float = 0.0
    largest: float = 0.0

    def with_pair(self, chip: np.ndarray, real: np.ndarray) -> Closeness:
        """With one more pair.

        Args:
            chip: Channels last.
            real: Of the same size; maps with channels second, as ONNX has them.
        """
        theirs = np.asarray(real, np.float64)
        if theirs.ndim == 4:
            theirs = theirs.transpose(0, 2, 3, 1)
        ours, theirs = np.ravel(chip), np.ravel(theirs)
        difference = ours - theirs
        return Closeness(
            self.real + float(theirs @ theirs),
            self.chip + float(ours @ ours),
            self.both + float(ours @ theirs),
            self.error + float(difference @ difference),
            max(self.largest, float(np.abs(difference).max(initial=0.0))),
        )

    @property
    def sqnr_db(self) -> float:
        """Signal over quantisation noise, decibels; infinite where nothing differs, NaN where there is nothing."""
        if self.error == 0:
            return math.inf if self.real else math.nan
        return 10 * math.log10(self.real / self.error) if self.real else -math.inf

    @property
    def cosine(self) -> float:
        """NaN where either is zero throughout."""
        lengths = math.sqrt(self.real * self.chip)
        return self.both / lengths if lengths else math.nan


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each row of two arrays (n, d): (n,)."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / np.maximum(lengths, 1e-30))


def with_outputs(model: bytes, names: Sequence[str]) -> tuple[bytes, list[str]]:
    """The model with tensors of its graph as its outputs, and the names of those that it has."""
    onnx = import_onnx()
    parsed: Any = onnx.load_model_from_string(model)
    made = {output for node in parsed.graph.node for output in node.output}
    found = [name for name in names if name in made]
    del parsed.graph.output[:]
    parsed.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in found)
    return parsed.SerializeToString(deterministic=True), found
