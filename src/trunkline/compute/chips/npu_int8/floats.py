"""Layers in float64: what calibration sees.

Float64, not the runtime's float32: two machines then agree to some 13 digits, and scales are kept to 12 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trunkline.compute.chips.npu_int8.kernels import convolve, product
from trunkline.compute.chips.npu_int8.layers import FloatLayer
from trunkline.core.errors import InputError


def forward(layers: Sequence[FloatLayer], images: np.ndarray) -> Iterator[tuple[FloatLayer, np.ndarray]]:
    """Each layer with its output on a batch, maps as (n, h, w, c); an output is dropped after its last reader.

    Args:
        layers: As `read_graph` gave them.
        images: uint8 of shape (n, h, w, 3).

    Raises:
        InputError: When shapes of the graph do not fit, naming the layer.
    """
    last = {name: at for at, layer in enumerate(layers) for name in layer.inputs}
    values: dict[str, np.ndarray] = {}
    for at, layer in enumerate(layers):
        inputs = [values[name] for name in layer.inputs]
        try:
            values[layer.output] = output(layer, inputs, images)
        except ValueError as error:
            shapes = [value.shape for value in inputs]
            raise InputError(f"the graph does not fit itself: {error}", where=f"{layer.name} on {shapes}") from error
        yield layer, values[layer.output]
        for name in {*layer.inputs, layer.output}:
            if last.get(name, at) <= at:
                del values[name]


def output(layer: FloatLayer, inputs: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """What one layer makes of its inputs, or of pictures.

    Raises:
        ValueError: When shapes do not fit.
    """
    if layer.kind == "image":
        assert layer.weight is not None  # noqa: S101 (every image layer has its table)
        return np.asarray(layer.weight.astype(np.float64)[images, np.arange(3)])
    first = inputs[0]
    if layer.kind == "concat":
        return np.concatenate(inputs, axis=1)
    if layer.kind in ("conv", "linear"):
        return np.asarray(np.clip(_weighed(layer, first), layer.low, layer.high))
    if layer.kind == "add":
        if first.shape != inputs[1].shape:
            raise ValueError("expected two maps of one shape")
        return np.asarray(np.clip(first + inputs[1], layer.low, layer.high))
    if layer.kind == "clip":
        return np.asarray(np.clip(first, layer.low, layer.high))
    if layer.kind == "mean":
        return np.asarray(first.mean((1, 2)))
    if layer.kind == "std":
        return np.asarray(np.sqrt(first.var((1, 2)) + layer.epsilon))
    if layer.kind == "max":
        return np.asarray(first.max((1, 2)))
    raise ValueError(f"expected a layer of a graph, got {layer.kind!r}")


def _weighed(layer: FloatLayer, source: np.ndarray) -> np.ndarray:
    assert layer.weight is not None and layer.bias is not None  # noqa: S101 (every such layer has them)
    if layer.kind == "linear":
        return np.asarray(product(source, layer.weight) + layer.bias)
    return np.asarray(convolve(source, layer.weight, layer.geometry) + layer.bias)
