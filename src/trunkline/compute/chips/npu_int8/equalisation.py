"""Channels made alike, so that one scale a tensor fits them all.

A channel between two convolutions may be divided by any factor in the first and multiplied by it in the second: the
network computes the same, bounds divided likewise (Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019). Theirs looks at weights alone; here a channel counts by what is larger, its weights or
its values, each against the largest of its tensor: else values drown where weights are rescued.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trunkline.compute.chips.npu_int8.layers import FloatLayer

_ROUNDS = 4  # a factor moves along a chain by one convolution a round
_LEAST = 1e-4  # of the largest: channels that are next to nothing are not blown up without end
_BITS = 8  # of a factor: machines whose floats differ in the last place agree on it


def equalised(
    layers: Sequence[FloatLayer], found: dict[str, np.ndarray], outputs: Sequence[str]
) -> tuple[list[FloatLayer], dict[str, np.ndarray]]:
    """The same network with channels of like magnitude, and what each channel was divided by.

    Args:
        layers: The network.
        found: Largest magnitude of each channel, by tensor.
        outputs: Tensors that are given out, and so stay as they are.

    Returns:
        Layers, and factors of shape (c,) by the tensors that were changed.
    """
    made = {layer.output: layer for layer in layers}
    uses = Counter(name for layer in layers for name in layer.inputs)
    uses.update(outputs)
    pairs = [
        (layer.inputs[0], layer.output)
        for layer in layers
        if layer.kind == "conv" and uses[layer.inputs[0]] == 1 and made[layer.inputs[0]].kind == "conv"
        and (layer.geometry.groups == 1 or _depthwise(layer))
    ]  # fmt: skip
    factors = {first: np.ones(len(found[first])) for first, _ in pairs}
    for _ in range(_ROUNDS):
        for first, second in pairs:
            values = found[first] / factors[first]
            share = shares(np.maximum(_relative(_rows(made[first])), _relative(values)), _columns(made[second]))
            made[first] = _over(made[first], share)
            made[second] = _times(made[second], share)
            factors[first] = factors[first] * share
    return [made[layer.output] for layer in layers], factors


def shares(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Factors, of eight bits each, that give both sides of a channel the same share of the range of their tensor.

    Args:
        before: Magnitudes of channels where they are made, shape (c,).
        after: Magnitudes of the weights that read them, shape (c,).
    """
    fraction, exponent = np.frexp(np.sqrt(_relative(before) / _relative(after)))
    return np.asarray(np.ldexp(np.rint(fraction * (1 << _BITS)), exponent - _BITS))


def _relative(magnitudes: np.ndarray) -> np.ndarray:
    largest = magnitudes.max()
    return np.maximum(magnitudes / largest, _LEAST) if largest > 0 else np.ones_like(magnitudes)


def _depthwise(layer: FloatLayer) -> bool:
    return layer.weight is not None and layer.geometry.groups == len(layer.weight) and layer.weight.shape[1] == 1


def _weight(layer: FloatLayer) -> np.ndarray:
    assert layer.weight is not None  # noqa: S101 (every convolution has it)
    return layer.weight


def _rows(layer: FloatLayer) -> np.ndarray:
    """Largest weight of each output channel."""
    return np.asarray(np.abs(_weight(layer)).max(axis=(1, 2, 3)))


def _columns(layer: FloatLayer) -> np.ndarray:
    """Largest weight that reads each input channel."""
    return _rows(layer) if _depthwise(layer) else np.asarray(np.abs(_weight(layer)).max(axis=(0, 2, 3)))


def _over(layer: FloatLayer, share: np.ndarray) -> FloatLayer:
    assert layer.bias is not None  # noqa: S101 (every convolution has it)
    return replace(
        layer, weight=_weight(layer) / share[:, None, None, None], bias=layer.bias / share,
        low=layer.low / share, high=layer.high / share,
    )  # fmt: skip


def _times(layer: FloatLayer, share: np.ndarray) -> FloatLayer:
    by_channel = share[:, None, None, None] if _depthwise(layer) else share[None, :, None, None]
    return replace(layer, weight=_weight(layer) * by_channel)
