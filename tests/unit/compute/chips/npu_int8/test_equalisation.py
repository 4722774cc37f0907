"""Equalised networks compute the same."""

from __future__ import annotations

import numpy as np

from tests.unit.compute.chips.npu_int8.small_graphs import inverted_bottleneck, pictures
from trunkline.compute.chips.npu_int8.calibration import magnitudes
from trunkline.compute.chips.npu_int8.equalisation import equalised, shares
from trunkline.compute.chips.npu_int8.floats import forward
from trunkline.compute.chips.npu_int8.reading import read_graph


def test_the_network_computes_the_same_bounds_included() -> None:
    layers, outputs = read_graph(inverted_bottleneck(spread=100.0), where="small")
    images = pictures()
    made, factors = equalised(layers, magnitudes(layers, images), outputs)
    before, after = ({layer.output: values for layer, values in forward(some, images)} for some in (layers, made))
    assert all(np.allclose(after[name] * factors.get(name, 1.0), before[name]) for name in before)
    assert max(factors["r2"]) > 2 * min(factors["r2"])


def test_channels_become_alike_and_what_others_read_stays() -> None:
    layers, outputs = read_graph(inverted_bottleneck(spread=100.0), where="small")
    made, factors = equalised(layers, magnitudes(layers, pictures()), outputs)
    spreads = [
        np.ptp(np.log(np.abs(next(layer for layer in some if layer.output == "r2").weight).max(axis=(1, 2, 3))))
        for some in (layers, made)
    ]
    assert spreads[1] < 0.8 * spreads[0]
    assert set(factors) == {"r1", "r2"}  # r0 has a second reader, c3 goes into a sum


def test_factors_have_eight_bits_and_dead_channels_stay_finite() -> None:
    made = shares(np.array([1.0, 0.3, 0.0]), np.array([0.7, 0.0, 0.0]))
    fraction, _ = np.frexp(made)
    assert np.array_equal(fraction * 256, np.rint(fraction * 256))
    assert np.isfinite(made).all()
    assert (made > 0).all()
