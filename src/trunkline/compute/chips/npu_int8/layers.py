"""Layers of a network before and after quantisation; `reading` makes the first kind, `compiler` the second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["image", "conv", "linear", "add", "clip", "mean", "std", "max", "concat", "gather", "contrast"]
"""What a layer does:

image     pixels to int8, by a table
conv      convolution, bias, bounds
linear    matrix product, bias, bounds
add       sum of two maps, bounds
clip      bounds alone
mean, std, max   one number a channel, over all positions of a map
concat    numbers a channel side by side
gather    numbers a channel, of several scales, to int8
contrast  numbers a channel over the length of their tap's std vector, to int8
"""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a convolution walks: strides and dilations (y, x), zeros on (top, left, bottom, right), groups."""

    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        return self.strides == (1, 1) and not any(self.pads) and self.groups == 1


@dataclass(frozen=True)
class FloatLayer:
    """A layer as the graph computes it.

    Attributes:
        kind: What it does.
        name: The node's name, for messages and reports.
        inputs: Names of tensors.
        output: Name of the tensor that it makes, the graph's own.
        weight: conv: (out, in / groups, kh, kw); linear: (out, in); image: the table (256, 3) of values.
        bias: (out,).
        geometry: Of a convolution.
        low, high: Bounds of the output, one or one a channel.
        epsilon: std: what is added to the variance.
    """

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    geometry: Geometry = field(default_factory=Geometry)
    low: float | np.ndarray = float("-inf")
    high: float | np.ndarray = float("inf")
    epsilon: float = 0.0
