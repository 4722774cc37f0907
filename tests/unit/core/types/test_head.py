"""Fitted heads: what they refuse, and what their digest is made over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trunkline.core.types.head import TrainedHead

W = np.ones((2, 3), np.float32)
HEAD = TrainedHead(
    "classify", ("a", "b"), "t" * 64, {"w": W}, {"rung": "linear"}, {"a": 0.5}, {"a": (0.4, 0.6)}, {"temperature": 1.5}
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ()}, r"expected at least one label and no repeats, got \(\)"),
        ({"labels": ("a", "a")}, r"expected at least one label and no repeats, got \('a', 'a'\)"),
        ({"weights": {"w": W * np.nan}}, "expected finite weights, got NaN or infinity in 'w'"),
        ({"weights": {"b": W, "w": W * np.inf}}, "expected finite weights, got NaN or infinity in 'w'"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HEAD, **changes)


def test_meta_is_json() -> None:
    assert HEAD.meta() == {
        "task": "classify", "labels": ["a", "b"], "trunk": "t" * 64, "config": {"rung": "linear"},
        "thresholds": {"a": 0.5}, "unsure": {"a": [0.4, 0.6]}, "calibration": {"temperature": 1.5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"weights": {"w": np.asfortranarray(W)}}, True),
        ({"weights": {"w": W.copy()}}, True),
        ({"weights": {"w": W * 2}}, False),
        ({"weights": {"w": W.reshape(3, 2)}}, False),
        ({"weights": {"w": W.astype(np.float16)}}, False),
        ({"weights": {"v": W}}, False),
        ({"labels": ("b", "a")}, False),
        ({"thresholds": {"a": 0.6}}, False),
        ({"calibration": {}}, False),
    ],
)
def test_the_digest_is_over_meta_and_weights(changes: dict[str, Any], same: bool) -> None:
    assert (replace(HEAD, **changes).digest() == HEAD.digest()) is same
