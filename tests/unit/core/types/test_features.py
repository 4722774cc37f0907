"""Tables of features: shapes are checked, rows are taken in the order asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trunkline.core.types.features import FeatureTable

POOLED = np.arange(6, dtype=np.float32).reshape(3, 2)
MAPS = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)


@pytest.mark.parametrize(
    ("pooled", "dense", "message"),
    [
        (POOLED[:2], {}, r"expected pooled features of shape \(3, d\), got \(2, 2\)"),
        (POOLED[0], {}, r"expected pooled features of shape \(3, d\), got \(2,\)"),
        (POOLED, {"tap0": MAPS[0]}, r"expected dense map tap0 of shape \(3, c, h, w\), got \(1, 2, 2\)"),
        (POOLED, {"tap0": MAPS[:1]}, r"expected dense map tap0 of shape \(3, c, h, w\), got \(1, 1, 2, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(pooled: np.ndarray, dense: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureTable(("a", "b", "c"), pooled, "trunk", dense)


def test_rows_are_taken_in_the_order_asked_for() -> None:
    taken = FeatureTable(("a", "b", "c"), POOLED, "trunk", {"tap0": MAPS}).take([2, 0])
    assert (taken.images, taken.trunk) == (("c", "a"), "trunk")
    np.testing.assert_array_equal(taken.pooled, POOLED[[2, 0]])
    np.testing.assert_array_equal(taken.dense["tap0"], MAPS[[2, 0]])


def test_no_rows() -> None:
    assert FeatureTable((), np.empty((0, 2)), "trunk").take([]).images == ()
