"""What `trunks.preprocess` does, as a graph: Pillow's bilinear filter with antialiasing, bit by bit.

ONNX's own Resize differs from runtime to runtime. Here the two passes are matrix products, with weights that the graph
computes from the picture's height and width by arithmetic that every runtime has.

Pillow (`libImaging/Resample.c`, `ImagingResample` for 8 bits) gives every output pixel x the weights
`max(0, 1 - |i + 1/2 - (x + 1/2) scale| / max(scale, 1))` of the input pixels i, over their sum, where scale is the
input's side over the output's. They are rounded to 22 bits, and sums of pixels by weights are rounded to whole numbers,
first over each row, then over each column. Float32 holds whole numbers up to 2^24, so:

- all weights are taken times 2 x side (whole numbers) and divided in two steps of 7 and 15 bits;
- a weight of 22 bits is split into 11 higher and 11 lower ones, each with a matrix product of its own, whose sums are
  whole and small enough.

That is exact, in whatever order a runtime adds up, while a pixel has under 32 weights, as of 3,584 pixels on a trunk's
side of 224. Beyond that a sum of the lower bits may be rounded: a pixel in millions may differ by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.platform.export.graph import Graph

_FIRST, _SECOND = 2.0**7, 2.0**15  # Pillow's 22 bits of a weight (PRECISION_BITS) in two steps
_HALF = 2.0**11  # what parts the higher 11 bits from the lower ones


def resized(graph: Graph, image: str, side: int, *, output: str) -> str:
    """Add nodes that stretch pictures of any size to a square.

    Args:
        graph: Where they are added.
        image: Name of a tensor, uint8 of shape (n, height, width, 3).
        side: Height and width of the square, pixels.
        output: Name of the result, uint8 of shape (n, side, side, 3).
    """
    shape = graph.add("Shape", image)
    height, width = (graph.cast(graph.add("Gather", shape, graph.constant(axis, "int64")), "FLOAT") for axis in (1, 2))
    pixels = graph.add("Transpose", graph.cast(image, "FLOAT"), perm=[0, 3, 1, 2])
    across = [graph.add("Transpose", part, perm=[1, 0]) for part in _weights(graph, width, side)]
    pixels = _rounded(graph, *(graph.add("MatMul", pixels, part) for part in across))
    down = _weights(graph, height, side)
    pixels = _rounded(graph, *(graph.add("MatMul", part, pixels) for part in down))
    placed = graph.add("Transpose", pixels, perm=[0, 2, 3, 1])
    return graph.add("Cast", placed, output=output, to=graph.onnx.TensorProto.UINT8)


def _weights(graph: Graph, length: str, side: int) -> tuple[str, str]:
    """Higher and lower bits of the weights along one axis, whole numbers in float32 of shape (side, length)."""
    places = graph.chain(
        graph.add("Range", graph.constant(0.0), length, graph.constant(1.0)), ("Mul", 2.0 * side), ("Add", side)
    )
    centres = graph.add("Mul", graph.constant([[2.0 * x + 1] for x in range(side)]), length)
    distance = graph.add("Abs", graph.add("Sub", places, centres))  # times 2 x side, as all below
    reach = graph.chain(length, ("Max", side), ("Mul", 2.0))
    triangle = graph.add("Relu", graph.add("Sub", reach, distance))
    total = graph.reduced("ReduceSum", triangle, [1], keep=True)
    first = graph.chain(triangle, ("Mul", _FIRST))
    quotient = graph.add("Floor", graph.add("Div", first, total))
    rest = graph.add("Sub", first, graph.add("Mul", quotient, total))
    second = graph.chain(graph.add("Div", graph.chain(rest, ("Mul", _SECOND)), total), ("Add", 0.5))
    weight = graph.add("Add", graph.chain(quotient, ("Mul", _SECOND)), graph.add("Floor", second))
    higher = graph.add("Floor", graph.chain(weight, ("Mul", 1 / _HALF)))
    return higher, graph.add("Sub", weight, graph.chain(higher, ("Mul", _HALF)))


def _rounded(graph: Graph, higher: str, lower: str) -> str:
    """Sums by higher and lower bits of the weights to the nearest whole number of pixel values, halves up."""
    carried = graph.add("Floor", graph.chain(lower, ("Mul", 1 / _HALF)))
    total = graph.add("Add", higher, carried)
    return graph.add("Floor", graph.chain(total, ("Add", _HALF / 2), ("Mul", 1 / _HALF)))
