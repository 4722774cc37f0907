"""The integer arithmetic of the chip: scales, requantisation, rounding, roots.

A scale is a whole number of twelve bits times a power of two, so that a compiled program holds no floating-point
number. A ratio of scales becomes a 31-bit multiplier and a shift (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018), rounded once, halves away from zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

LIMIT = 127
"""Largest int8 that is used: the range is symmetric, -128 is not in it."""
ACCUMULATOR = 2**31 - 1
"""Largest value of an accumulator."""
_BITS = 12  # of a scale: machines whose floats differ in the last place agree on it, and it costs 1/4096 of the range
_MOST_SHIFT = 62


@dataclass(frozen=True, slots=True)
class Scale:
    """A real number for each step of an integer: mantissa x 2^exponent.

    Attributes:
        mantissa: 1 to 4096; of a product of two scales 1 to 2^24.
        exponent: Power of two, -200 to 200.
    """

    mantissa: int
    exponent: int

    def __post_init__(self) -> None:
        if not 1 <= self.mantissa <= 1 << 2 * _BITS or not -200 <= self.exponent <= 200:
            raise ValueError(
                f"expected a scale of at most {2 * _BITS} bits times a power of two, "
                f"got {self.mantissa} x 2^{self.exponent}"
            )

    @classmethod
    def covering(cls, largest: float, *, steps: int = LIMIT) -> Scale:
        """The smallest scale of twelve bits whose `steps` steps reach a value.

        Args:
            largest: The value; 0 stands for a tensor of zeros and gives the scale 1.
            steps: Steps from 0 to it.

        Raises:
            ValueError: When the value is not finite, or beyond what any network computes.
        """
        if not math.isfinite(largest) or largest < 0:
            raise ValueError(f"expected a finite range, got {largest}")
        if largest == 0:
            return cls(1, 0)
        fraction, exponent = math.frexp(largest / steps)  # 0.5 <= fraction < 1
        return cls(math.ceil(fraction * (1 << _BITS)), exponent - _BITS)

    def times(self, other: Scale) -> Scale:
        """The scale of a product."""
        return Scale(self.mantissa * other.mantissa, self.exponent + other.exponent)

    @property
    def exact(self) -> Fraction:
        return Fraction(self.mantissa) * Fraction(2) ** self.exponent

    def __float__(self) -> float:
        return math.ldexp(self.mantissa, self.exponent)


def fixed_point(ratios: Sequence[Fraction], *, bits: int = 31) -> tuple[list[int], int]:
    """Multipliers and one shift that stand for ratios: ratio = multiplier / 2^shift.

    Args:
        ratios: Numbers, at least one.
        bits: Of the largest multiplier.

    Raises:
        ValueError: When the largest ratio is so large that no shift to the right can express it.
    """
    largest = max(abs(ratio) for ratio in ratios)
    shift = _MOST_SHIFT
    if largest:
        # Bits of its whole part, one too few at the most; what is too large is mended below.
        shift = bits + 1 - (largest.numerator.bit_length() - largest.denominator.bit_length())
    while shift > _MOST_SHIFT or _nearest(largest, shift) >= 1 << bits:
        shift -= 1
    if shift < 1:
        raise ValueError(f"expected a ratio of scales under 2^{bits - 1}, got {float(largest):g}")
    return [_nearest(ratio, shift) for ratio in ratios], shift


def _nearest(ratio: Fraction, shift: int) -> int:
    """ratio x 2^shift to the nearest whole number, halves away from zero."""
    scaled = abs(ratio) * Fraction(2) ** shift
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return whole if ratio >= 0 else -whole


def shifted(values: np.ndarray, shift: int) -> np.ndarray:
    """values / 2^shift to the nearest whole number, halves away from zero.

    Args:
        values: int64, at most 2^62 in absolute value.
        shift: 1 to 62.
    """
    half = np.int64(1) << np.int64(shift - 1)
    # An arithmetic shift rounds down; a negative half has to come out below, hence one less.
    return np.asarray((values + half - (values < 0)) >> np.int64(shift))


def requantised(accumulators: np.ndarray, multipliers: np.ndarray | int, shift: int) -> np.ndarray:
    """Accumulators at another scale: x multiplier / 2^shift, rounded as `shifted` does.

    Args:
        accumulators: Whole numbers of at most 31 bits; any integer dtype.
        multipliers: One, or one a column (last axis), each of at most 31 bits.
        shift: As `fixed_point` gave it.

    Returns:
        int64.
    """
    return shifted(accumulators.astype(np.int64) * multipliers, shift)


def divided(numerators: np.ndarray, denominators: np.ndarray | int) -> np.ndarray:
    """Quotients to the nearest whole number, halves away from zero; int64, denominators above 0."""
    magnitude = (2 * np.abs(numerators) + denominators) // (2 * np.asarray(denominators, np.int64))
    return np.asarray(np.where(numerators < 0, -magnitude, magnitude))


def roots(squares: np.ndarray) -> np.ndarray:
    """Square roots to the nearest whole number.

    Args:
        squares: int64, 0 to 2^50: the float root is right to one, and then mended.
    """
    whole = np.sqrt(squares.astype(np.float64)).astype(np.int64)
    whole -= whole * whole > squares
    whole += (whole + 1) * (whole + 1) <= squares
    return np.asarray(whole + (squares - whole * whole > whole))  # over (whole + 1/2)^2: there are no halves


def saturated(values: np.ndarray, low: np.ndarray | int = -LIMIT, high: np.ndarray | int = LIMIT) -> np.ndarray:
    """Values within bounds, as int8."""
    return np.asarray(np.clip(values, low, high).astype(np.int8))
