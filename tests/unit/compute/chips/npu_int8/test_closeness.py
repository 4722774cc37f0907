"""How close tensors are."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from tests.unit.compute.chips.npu_int8.small_graphs import floats, inverted_bottleneck, pictures
from trunkline.compute.chips.npu_int8.closeness import Closeness, cosines, with_outputs


def test_pairs_add_up_and_maps_are_turned() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(0, 1, (2, 3, 4, 5))
    chip = real.transpose(0, 2, 3, 1) + rng.normal(0, 0.01, (2, 4, 5, 3))
    apart = Closeness().with_pair(chip[:1], real[:1]).with_pair(chip[1:], real[1:])
    together = Closeness().with_pair(chip, real)
    assert apart.sqnr_db == pytest.approx(together.sqnr_db)
    assert 35 < apart.sqnr_db < 45
    assert 0.999 < apart.cosine < 1
    assert apart.largest == pytest.approx(np.abs(chip - real.transpose(0, 2, 3, 1)).max())


@pytest.mark.parametrize(
    ("chip", "real", "sqnr", "cosine"),
    [
        ([1.0, 2.0], [1.0, 2.0], math.inf, 1.0),
        ([0.0, 0.0], [0.0, 0.0], math.nan, math.nan),
        ([1.0, 0.0], [0.0, 0.0], -math.inf, math.nan),
        ([1.0, 1.0], [1.0, 0.0], 0.0, math.sqrt(0.5)),
    ],
)
def test_edges(chip: list[float], real: list[float], sqnr: float, cosine: float) -> None:
    found = Closeness().with_pair(np.array(chip), np.array(real))
    assert (found.sqnr_db, found.cosine) == pytest.approx((sqnr, cosine), nan_ok=True)


def test_cosines_of_rows() -> None:
    assert cosines(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 0.0], [1.0, -1.0]])).tolist() == [1.0, 0.0]


def test_tensors_of_the_graph_become_outputs() -> None:
    graph = inverted_bottleneck()
    made, found = with_outputs(graph, ["r0", "nothing", "std"])
    assert found == ["r0", "std"]
    assert [output.name for output in onnx.load_model_from_string(made).graph.output] == ["r0", "std"]
    images = pictures(1)
    pairs = zip(floats(made, images, found), floats(graph, images, found), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
