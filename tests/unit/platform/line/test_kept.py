"""A fitted head survives being kept."""

from __future__ import annotations

import numpy as np

from trunkline.algorithms.heads.base import Fitted
from trunkline.core.types.head import TrainedHead
from trunkline.platform.line.kept import pack_fitted, unpack_fitted


def test_what_is_packed_is_unpacked() -> None:
    rng = np.random.default_rng(0)
    head = TrainedHead(
        task="classify",
        labels=("crack", "划痕"),
        trunk="0" * 64,
        weights={"weight": rng.normal(size=(12, 2)).astype(np.float32), "bank": np.ones((3, 2), np.float16)},
        config={"rung": "linear", "channels": [4]},
        thresholds={"crack": 0.5, "划痕": 0.6},
        unsure={"crack": (0.0, 0.5), "划痕": (0.1, 0.6)},
        calibration={"temperature": 1.25},
    )
    fitted = Fitted(head, rng.random((5, 2)).astype(np.float32), {"cv_accuracy": 0.9})
    files = pack_fitted(fitted)
    again = unpack_fitted(files)
    assert again.head.digest() == head.digest()
    assert again.head.unsure == head.unsure
    assert np.array_equal(again.cv_scores, fitted.cv_scores)
    assert again.detail == fitted.detail
    assert pack_fitted(again) == files
