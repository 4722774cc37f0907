"""What each step costs: the matrix products that a systolic array does for it, and their multiplications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trunkline.compute.chips.npu_int8.kernels import output_size
from trunkline.compute.chips.npu_int8.program import Program, Step


@dataclass(frozen=True, slots=True)
class Product:
    """`times` products of a matrix (rows, depth) with one (depth, columns).

    A convolution is one a group: rows are positions, columns its output channels, depth the inputs of one output. So a
    depthwise convolution is a product of one column for each channel.
    """

    times: int
    rows: int
    depth: int
    columns: int

    @property
    def macs(self) -> int:
        """Multiplications with addition."""
        return self.times * self.rows * self.depth * self.columns


@dataclass(frozen=True)
class Work:
    """One step of a program on one picture.

    Attributes:
        step: The step.
        shape: Of its output: (h, w, c) or (c,).
        product: What a systolic array does; None for steps that the vector unit does.
    """

    step: Step
    shape: tuple[int, ...]
    product: Product | None


def works(program: Program) -> list[Work]:
    """The work of each step, in order.

    Raises:
        ValueError: When a kernel does not fit its map.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if program.takes == "features":
        shapes["features"] = (program.size,)
    rows = []
    for step in program.steps:
        shapes[step.output] = _shape(step, shapes, program.size)
        rows.append(Work(step, shapes[step.output], _product(step, shapes[step.output])))
    return rows


def _shape(step: Step, shapes: Mapping[str, tuple[int, ...]], size: int) -> tuple[int, ...]:
    if step.kind == "image":
        return (size, size, 3)
    if step.kind == "conv":
        height, width, _ = shapes[step.inputs[0]]
        kh, kw = step.arrays["weight"].shape[2:]
        height, width = output_size(height, width, (kh, kw), step.geometry)
        if height < 1 or width < 1:
            raise ValueError(f"expected a kernel that fits its map, {step.name!r} makes {height} x {width}")
        return (height, width, step.width)
    if step.kind in ("add", "clip"):
        return shapes[step.inputs[0]]
    return (step.width,)


def _product(step: Step, shape: tuple[int, ...]) -> Product | None:
    if step.kind == "linear":
        outputs, inputs = step.arrays["weight"].shape
        return Product(1, 1, inputs, outputs)
    if step.kind != "conv":
        return None
    outputs, per_group, kh, kw = step.arrays["weight"].shape
    groups = step.geometry.groups
    return Product(groups, shape[0] * shape[1], per_group * kh * kw, outputs // groups)
