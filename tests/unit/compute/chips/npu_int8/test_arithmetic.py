"""The integer arithmetic of npu-int8."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from trunkline.compute.chips.npu_int8.arithmetic import (
    Scale,
    divided,
    fixed_point,
    requantised,
    roots,
    saturated,
    shifted,
)


@pytest.mark.parametrize("largest", [127.0, 1.0, 6.0, 0.1, 3.3e-9, 1e-30, 1e30, np.nextafter(127.0, 200.0)])
def test_scale_is_the_smallest_of_twelve_bits_that_covers(largest: float) -> None:
    scale = Scale.covering(largest)
    below = Scale(scale.mantissa - 1, scale.exponent)
    assert scale.mantissa <= 4096
    assert 127 * below.exact < Fraction(largest) <= 127 * scale.exact
    assert float(scale) == scale.exact


def test_scale_of_zeros_and_of_a_product() -> None:
    assert Scale.covering(0.0) == Scale(1, 0)
    assert Scale(3000, -4).times(Scale(4096, 2)) == Scale(3000 * 4096, -2)


@pytest.mark.parametrize("largest", [float("nan"), float("inf"), -1.0])
def test_scale_refuses(largest: float) -> None:
    with pytest.raises(ValueError, match="expected a finite range"):
        Scale.covering(largest)


@pytest.mark.parametrize(("mantissa", "exponent"), [(0, 0), (2**24 + 1, 0), (1, 201), (1, -201)])
def test_scale_refuses_what_is_none(mantissa: int, exponent: int) -> None:
    with pytest.raises(ValueError, match="expected a scale"):
        Scale(mantissa, exponent)


@pytest.mark.parametrize(
    "ratios",
    [["1/3"], ["1"], ["1/2"], ["2147483647/2147483648"], ["536870911"], ["1/1000000000000"], ["1/3", "7/5", "1/9999"]],
)
def test_fixed_point_is_the_nearest_of_31_bits(ratios: list[str]) -> None:
    exact = [Fraction(ratio) for ratio in ratios]
    multipliers, shift = fixed_point(exact)
    assert max(multipliers) < 2**31
    assert 1 <= shift <= 62
    assert all(
        abs(Fraction(m, 2**shift) - r) <= Fraction(1, 2 ** (shift + 1)) for m, r in zip(multipliers, exact, strict=True)
    )
    assert max(multipliers) >= 2**30 or shift == 62


def test_fixed_point_of_nothing_and_of_too_much() -> None:
    assert fixed_point([Fraction(0)])[0] == [0]
    with pytest.raises(ValueError, match="under 2"):
        fixed_point([Fraction(2**31)])


def _away_from_zero(value: Fraction) -> int:
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


@pytest.mark.parametrize("shift", [1, 2, 7, 30])
def test_shifts_round_halves_away_from_zero(shift: int) -> None:
    half = 2 ** (shift - 1)
    values = np.array([k * half + d for k in range(-9, 10) for d in (-1, 0, 1)], np.int64)
    assert shifted(values, shift).tolist() == [_away_from_zero(Fraction(int(v), 2**shift)) for v in values]


def test_requantisation_of_the_largest_accumulators_does_not_overflow() -> None:
    accumulators = np.array([2**31 - 1, -(2**31 - 1), 0, 1], np.int64)
    expected = [_away_from_zero(Fraction(int(a) * (2**31 - 1), 2**62)) for a in accumulators]
    assert requantised(accumulators, 2**31 - 1, 62).tolist() == expected


def test_quotients_round_halves_away_from_zero() -> None:
    numerators = np.arange(-40, 41)
    for denominator in (1, 2, 3, 8):
        expected = [_away_from_zero(Fraction(int(n), denominator)) for n in numerators]
        assert divided(numerators, denominator).tolist() == expected


def test_roots_are_the_nearest_whole_numbers() -> None:
    near = np.array([n * n + d for n in (2**15, 2**20 + 1, 2**25 - 1) for d in (-1, 0, 1)])
    between = np.array([n * n + n + d for n in (3, 2**15, 2**24) for d in (0, 1)])  # around (n + 1/2)^2
    squares = np.concatenate([np.arange(3000), near, between])
    found = roots(squares)
    assert np.all((2 * found - 1) ** 2 <= 4 * squares + (found == 0) * 2)
    assert np.all(4 * squares < (2 * found + 1) ** 2)


def test_saturation_keeps_the_range_symmetric() -> None:
    made = saturated(np.array([-300, -128, -127, 127, 128]))
    assert (made.dtype, made.tolist()) == (np.int8, [-127, -127, -127, 127, 127])
