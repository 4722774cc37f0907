"""One float layer to the steps that compute it in integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from trunkline.compute.chips.npu_int8.arithmetic import ACCUMULATOR, LIMIT, Scale, fixed_point
from trunkline.compute.chips.npu_int8.equalisation import shares
from trunkline.compute.chips.npu_int8.layers import FloatLayer
from trunkline.compute.chips.npu_int8.program import Step
from trunkline.compute.chips.npu_int8.running import FRACTION, MOST_POSITIONS, accumulators

Columns = tuple[tuple[int, Scale], ...]
_POOLED = ("mean", "std", "max", "concat")
_ROOM = 1.5  # over the largest that calibration saw: each column has a range of its own, and a picture can pass one
QUOTIENT_BITS = 24
"""Of the multipliers of a quotient: with the numbers of a feature it stays within 62 bits."""


class Quantiser:
    """Knows the scales of all tensors so far.

    Args:
        found: Largest magnitude of each channel, by tensor, as the layers that come compute it.
        raw: Outputs of matrix products that are given out as they are, not as int8.
    """

    def __init__(self, found: Mapping[str, np.ndarray], raw: Sequence[str] = ()) -> None:
        self._found = found
        self._raw = set(raw)
        self._kinds: dict[str, str] = {}
        self.columns: dict[str, Columns] = {}
        self.units: dict[str, float] = {}  # what one step of a product's accumulators stands for
        self.positions: dict[str, int] = {}

    def steps(self, layer: FloatLayer) -> list[Step]:
        """The steps of a layer, the last of which makes its output.

        Raises:
            ValueError: When its numbers cannot be expressed.
        """
        if layer.kind == "linear" and self._kinds[layer.inputs[0]] in _POOLED:
            made = self._gathered(layer)
        elif layer.kind == "linear":
            made = [self._weighed(layer, layer.inputs[0], self._scale(layer.inputs[0]))]
        else:
            made = [getattr(self, f"_{layer.kind}")(layer)]
        for step in made:
            self.columns[step.output] = step.columns
            self._kinds[step.output] = step.kind
        return made

    def _scale(self, name: str) -> Scale:
        return self.columns[name][0][1]

    def _own(self, layer: FloatLayer) -> Scale:
        return Scale.covering(float(self._found[layer.output].max(initial=0.0)))

    @staticmethod
    def _step(layer: FloatLayer, columns: Columns, **more: Any) -> Step:
        return Step(layer.kind, layer.name, layer.inputs, layer.output, columns, **more)

    def _image(self, layer: FloatLayer) -> Step:
        assert layer.weight is not None  # noqa: S101 (every image layer has its table)
        scale = Scale.covering(float(np.abs(layer.weight).max()))  # of every pixel value, also those not calibrated on
        return self._step(layer, ((3, scale),), arrays={"table": to_int8(layer.weight, scale)})

    def _conv(self, layer: FloatLayer) -> Step:
        return self._weighed(layer, layer.inputs[0], self._scale(layer.inputs[0]))

    def _weighed(self, layer: FloatLayer, source: str, scale_in: Scale, weight: np.ndarray | None = None) -> Step:
        """A convolution or a matrix product; `weight` in place of the layer's own."""
        weight = layer.weight if weight is None else weight
        assert weight is not None and layer.bias is not None  # noqa: S101 (every such layer has them)
        scale_w = Scale.covering(float(np.abs(weight).max(initial=0.0)))
        product = scale_in.times(scale_w)
        self.units[layer.output] = float(product)
        arrays = {"weight": to_int8(weight, scale_w), "bias": to_int32(layer.bias, float(product))}
        if layer.output in self._raw:
            return Step(layer.kind, layer.name, (source,), layer.output, ((len(weight), product),), arrays=arrays)
        out = self._own(layer)
        multipliers, shift = fixed_point([product.exact / out.exact])
        arrays |= {"multipliers": np.array(multipliers, np.int32), **bounds(layer, out)}
        return Step(
            layer.kind, layer.name, (source,), layer.output, ((len(weight), out),), arrays=arrays, shift=shift,
            geometry=layer.geometry,
        )  # fmt: skip

    def _add(self, layer: FloatLayer) -> Step:
        out = self._own(layer)
        multipliers, shift = fixed_point([self._scale(name).exact / out.exact for name in layer.inputs])
        arrays = {"multipliers": np.array(multipliers, np.int32), **bounds(layer, out)}
        count = self.columns[layer.inputs[0]][0][0]
        return self._step(layer, ((count, out),), arrays=arrays, shift=shift)

    def _clip(self, layer: FloatLayer) -> Step:
        columns = self.columns[layer.inputs[0]]
        return self._step(layer, columns, arrays=bounds(layer, columns[0][1]))

    def _mean(self, layer: FloatLayer, epsilon: int = 0) -> Step:
        ((count, scale),) = self.columns[layer.inputs[0]]
        finer = Scale(scale.mantissa, scale.exponent - FRACTION)
        return self._step(layer, ((count, finer),), epsilon=epsilon)

    _max = _mean

    def _std(self, layer: FloatLayer) -> Step:
        if self.positions.get(layer.inputs[0], 0) > MOST_POSITIONS:
            raise ValueError(f"expected a map of at most {MOST_POSITIONS} positions, whose squares fit 64 bits")
        unit = self._scale(layer.inputs[0]).exact / (1 << FRACTION)
        return self._mean(layer, round(Fraction(layer.epsilon) / unit**2))

    def _concat(self, layer: FloatLayer) -> Step:
        return self._step(layer, tuple(pair for name in layer.inputs for pair in self.columns[name]))

    def _gathered(self, layer: FloatLayer) -> list[Step]:
        """Numbers a channel, of several scales, to int8 of one, and the matrix product on them."""
        assert layer.weight is not None  # noqa: S101 (every matrix product has it)
        source = layer.inputs[0]
        columns = self.columns[source]
        scale, factors, weight = balanced(self._found[source], layer.weight)
        units = [unit.exact for count, unit in columns for _ in range(count)]
        ratios = [unit / (scale.exact * Fraction(float(f))) for unit, f in zip(units, factors, strict=True)]
        multipliers, shift = fixed_point(ratios)
        name = f"{layer.output}/int8"
        gather = Step(
            "gather", f"{layer.name}/int8", (source,), name, ((len(units), scale),),
            arrays={"multipliers": np.array(multipliers, np.int32)}, shift=shift,
        )  # fmt: skip
        return [gather, self._weighed(layer, name, scale, weight)]


def balanced(largest: np.ndarray, weight: np.ndarray) -> tuple[Scale, np.ndarray, np.ndarray]:
    """One scale for columns of different magnitude.

    Args:
        largest: Largest magnitude of each of d columns.
        weight: (k, d), what they are multiplied by.

    Returns:
        The scale, what each column is divided by, and the weights that make up for it.
    """
    factors = shares(largest, np.abs(weight).max(axis=0))
    return Scale.covering(_ROOM * float((largest / factors).max(initial=0.0))), factors, weight * factors


def to_int8(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Real numbers in steps of a scale, saturated; halves to even, as IEEE rounds."""
    return np.clip(np.rint(np.asarray(values, np.float64) / float(scale)), -LIMIT, LIMIT).astype(np.int8)


def to_int32(values: np.ndarray, unit: float) -> np.ndarray:
    """Biases in steps of an accumulator.

    Raises:
        ValueError: When one is beyond 32 bits.
    """
    whole = np.rint(np.asarray(values, np.float64) / unit)
    if np.abs(whole).max(initial=0) > ACCUMULATOR:
        raise ValueError(f"expected biases of at most {ACCUMULATOR} steps of {unit:g}")
    return whole.astype(np.int32)


def bounds(layer: FloatLayer, scale: Scale) -> dict[str, np.ndarray]:
    """A layer's bounds as int8 of shape (1,) or (c,)."""
    return {
        name: to_int8(np.clip(np.atleast_1d(value), -LIMIT * float(scale), LIMIT * float(scale)), scale)
        for name, value in (("low", layer.low), ("high", layer.high))
    }


def with_mean(step: Step, unit: float, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Step:
    """The step with its bias moved by the mean error of each channel, over all pictures and positions.

    Args:
        step: A convolution or a matrix product.
        unit: What one step of its accumulators stands for.
        pairs: For each picture, real outputs before bounds, and the integers that go into the step.

    Raises:
        ValueError: When accumulators could overflow.
    """
    width = len(step.arrays["bias"])
    error = np.zeros(width)
    for real, source in pairs:
        sums = accumulators(step, source).astype(np.float64)
        error += (real - sums * unit).reshape(-1, width).mean(axis=0)
    bias = step.arrays["bias"] + np.rint(error / len(pairs) / unit)
    if np.abs(bias).max(initial=0) > ACCUMULATOR:
        raise ValueError(f"expected biases of at most {ACCUMULATOR} steps of {unit:g}")
    return replace(step, arrays={**step.arrays, "bias": bias.astype(np.int32)})
