"""Compiles an ONNX graph: read, calibrate, equalise, quantise, correct biases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trunkline.compute.chips.blas import Blas
from trunkline.compute.chips.npu_int8.calibration import magnitudes
from trunkline.compute.chips.npu_int8.equalisation import equalised
from trunkline.compute.chips.npu_int8.floats import output
from trunkline.compute.chips.npu_int8.layers import FloatLayer
from trunkline.compute.chips.npu_int8.program import Program, Step
from trunkline.compute.chips.npu_int8.quantising import Quantiser, with_mean
from trunkline.compute.chips.npu_int8.reading import read_graph
from trunkline.compute.chips.npu_int8.running import execute
from trunkline.core.digest import digest_bytes
from trunkline.core.errors import InputError

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Compiled:
    """A program, and what is needed to set its tensors beside the graph's.

    Attributes:
        program: The program.
        factors: What the channels of equalised tensors were divided by, (c,), by name.
    """

    program: Program
    factors: Mapping[str, np.ndarray]

    def real(self, name: str, integers: np.ndarray) -> np.ndarray:
        """The real numbers of a tensor as the graph computes it, float64 of shape (..., c)."""
        return np.asarray(self.program.step(name).values(integers) * self.factors.get(name, 1.0))


def compile_graph(model: bytes, images: np.ndarray, *, where: str, outputs: Sequence[str] | None = None) -> Compiled:
    """Compile an ONNX graph for npu-int8.

    Args:
        model: The graph; its input is uint8 pictures (n, h, w, 3).
        images: Pictures to calibrate on, uint8 (n, size, size, 3); some 16 of the kind that will come.
        where: What the graph is, for messages.
        outputs: Names of the outputs that are wanted; all when None.

    Raises:
        InputError: On an operator that the chip does not have, naming it and its node; on a graph or pictures that do
            not fit; on numbers that the chip cannot express.
        MissingExtraError: When the package onnx is not installed.
    """
    square = images.ndim == 4 and images.shape[1:] == (images.shape[1], images.shape[1], 3)
    if images.dtype != np.uint8 or not square or not images.size:
        raise InputError(
            f"expected uint8 pictures (n, size, size, 3) to calibrate on, got {images.dtype} {images.shape}",
            where=where,
        )
    layers, wanted = read_graph(model, where=where, outputs=outputs)
    with Blas(1).limit(1):  # single pictures: more threads wait for each other most of the time
        found = magnitudes(layers, images)
        layers, factors = equalised(layers, found, wanted)
        found = {name: values / factors.get(name, 1.0) for name, values in found.items()}
        steps = _corrected(layers, found, images, where)
    program = Program(digest_bytes(model), "images", images.shape[1], tuple(steps), tuple(wanted))
    return Compiled(program, factors)


def _corrected(
    layers: Sequence[FloatLayer],
    found: Mapping[str, np.ndarray],
    images: np.ndarray,
    where: str,
) -> list[Step]:
    """Steps whose biases make up for what rounding does to the mean of each channel.

    Both networks walk over the pictures side by side; each product's error in the mean, that of its input included,
    goes into its bias (Nagel et al., 2019, section 4.2, measured rather than estimated).
    """
    read = {name for layer in layers for name in layer.inputs}
    raw = [layer.output for layer in layers if layer.kind == "linear" and layer.output not in read and _free(layer)]
    quantiser = Quantiser(found, raw)
    last = {name: at for at, layer in enumerate(layers) for name in layer.inputs}
    real: list[Values] = [{} for _ in images]
    whole: list[Values] = [{} for _ in images]
    done: list[Step] = []
    for at, layer in enumerate(layers):
        try:
            steps = quantiser.steps(layer)
            for step in steps[:-1]:
                _advance(step, whole, images)
            free = replace(layer, low=-np.inf, high=np.inf)
            for number, values in enumerate(real):
                values[layer.output] = output(free, [values[n] for n in layer.inputs], images[number : number + 1])
            final = steps[-1]
            if final.kind in ("conv", "linear"):
                pairs = [(a[final.output], b[final.inputs[0]]) for a, b in zip(real, whole, strict=True)]
                final = with_mean(final, quantiser.units[final.output], pairs)
        except ValueError as error:
            place = f"{where}: node {layer.name!r}"
            raise InputError(f"npu-int8 cannot express the layer: {error}", where=place) from error
        _advance(final, whole, images)
        for values in real:
            values[layer.output] = np.clip(values[layer.output], layer.low, layer.high)
        quantiser.positions[layer.output] = math.prod(real[0][layer.output].shape[1:-1])
        done += [*steps[:-1], final]
        for name in {layer.output, *(name for step in steps for name in step.inputs)}:
            if last.get(name, at) <= at:
                for values in (*real, *whole):
                    values.pop(name, None)
    return done


def _free(layer: FloatLayer) -> bool:
    return bool(np.all(np.isneginf(layer.low)) and np.all(np.isposinf(layer.high)))


def _advance(step: Step, whole: list[Values], images: np.ndarray) -> None:
    for number, values in enumerate(whole):
        given = [images[number : number + 1]] if step.kind == "image" else [values[name] for name in step.inputs]
        values[step.output] = execute(step, given)
