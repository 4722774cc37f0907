"""A linear head as a program on a trunk's integers: contrast out, a matrix product, logits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from trunkline.compute.chips.npu_int8.arithmetic import Scale, fixed_point
from trunkline.compute.chips.npu_int8.program import Program, Step
from trunkline.compute.chips.npu_int8.quantising import QUOTIENT_BITS, balanced, to_int8, to_int32, with_mean
from trunkline.compute.chips.npu_int8.running import execute
from trunkline.core.errors import InputError


def compile_head(
    weight: np.ndarray, bias: np.ndarray, *, channels: Sequence[int], features: np.ndarray, source: str, where: str
) -> Program:
    """Compile a linear head.

    The head divides mean, std and max of each tap by the length of the tap's std vector. Both are integers of one
    scale, so that the quotient needs none: it is one integer division a feature, rounded once, to int8.

    Args:
        weight: (d, k), as the head multiplies features (n, d) by it.
        bias: (k,).
        channels: Channels of each tap; 3 x their sum is d.
        features: A trunk program's integers on calibration pictures, int32 (n, d).
        source: Digest of the head.
        where: What the head is, for messages.

    Returns:
        A program on features with the output "logits": int32 (n, k).

    Raises:
        InputError: When shapes do not fit, or numbers cannot be expressed.
    """
    d, k = weight.shape
    if not channels or 3 * sum(channels) != d or features.ndim != 2 or features.shape[1] != d or not len(features):
        raise InputError(
            f"expected a linear head on taps of {d} / 3 channels in all, and features to calibrate on, "
            f"got taps of {list(channels)} and {features.shape}",
            where=where,
        )
    quotients = features / lengths(features, channels)
    try:
        scale, factors, balanced_weight = balanced(np.abs(quotients).max(axis=0), np.asarray(weight.T, np.float64))
        multipliers, shift = fixed_point(
            [1 / (scale.exact * Fraction(float(factor))) for factor in factors], bits=QUOTIENT_BITS
        )
        contrast = Step(
            "contrast", "contrast", ("features",), "quotients", ((d, scale),),
            arrays={"multipliers": np.array(multipliers, np.int32)}, shift=shift, channels=tuple(channels),
        )  # fmt: skip
        own = Scale.covering(float(np.abs(balanced_weight).max(initial=0.0)))
        product = scale.times(own)
        arrays = {"weight": to_int8(balanced_weight, own), "bias": to_int32(bias, float(product))}
        linear = Step("linear", "linear", ("quotients",), "logits", ((k, product),), arrays=arrays)
        real = quotients @ np.asarray(weight, np.float64) + bias
        linear = with_mean(linear, float(product), [(real, execute(contrast, [features]))])
        return Program(source, "features", d, (contrast, linear), ("logits",))
    except ValueError as error:
        raise InputError(f"npu-int8 cannot express the head: {error}", where=where) from error


def lengths(features: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Length of each tap's std vector, laid over its features: float64 (n, d), at least 1."""
    parts, start = [], 0
    for count in channels:
        std = features[:, start + count : start + 2 * count].astype(np.float64)
        length = np.maximum(np.linalg.norm(std, axis=1, keepdims=True), 1.0)
        parts.append(np.repeat(length, 3 * count, axis=1))
        start += 3 * count
    return np.concatenate(parts, axis=1)
