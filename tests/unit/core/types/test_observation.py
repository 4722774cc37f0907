"""Readings and observations: what they refuse, and how an observation is said in JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trunkline.core.types.observation import Observation, Prediction, Reading


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"float32 \(4, 4, 3\)"),
    ],
)
def test_pixels_of_another_shape_or_kind_are_refused(pixels: np.ndarray, got: str) -> None:
    with pytest.raises(ValueError, match=rf"expected uint8 pixels of shape \(height, width, 3\), got {got}"):
        Reading("a.png", 0, 0.0, pixels)


def test_a_reading_keeps_its_pixels() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    assert Reading("a.png", 1, 0.5, pixels).pixels is pixels


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=rf"expected a score in 0\.\.1, got {score}"):
        Prediction("a", score)


@pytest.mark.parametrize(
    "box",
    [(4.0, 0.0, 4.0, 9.0), (0.0, 9.0, 4.0, 0.0), (-1.0, 0.0, 4.0, 9.0), (0.0, -1.0, 4.0, 9.0),
     (0.0, 0.0, math.nan, 9.0)],
)  # fmt: skip
def test_a_box_without_an_inside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"expected a box x1, y1, x2, y2 .*, got "):
        Prediction("a", 0.5, box)


@pytest.mark.parametrize(
    ("made", "row"),
    [
        (Prediction("a", 0.5), {"label": "a", "score": 0.5}),
        (Prediction("a", 0.5, (0.0, 1.5, 4.0, 9.0)), {"label": "a", "score": 0.5, "box": [0.0, 1.5, 4.0, 9.0]}),
    ],
)
def test_json_of_a_prediction(made: Prediction, row: dict[str, Any]) -> None:
    assert made.to_json() == row


@pytest.mark.parametrize(
    ("anomaly_score", "more"), [(None, {}), (0.0, {"anomaly_score": 0.0}), (3.5, {"anomaly_score": 3.5})]
)
def test_json_of_an_observation(anomaly_score: float | None, more: dict[str, Any]) -> None:
    predictions = (Prediction("a", 0.75), Prediction("b", 0.25))
    made = Observation("a.png", 2, 0.5, predictions, ("a",), True, "d" * 64, anomaly_score)
    assert made.to_json() == {
        "source": "a.png", "frame": 2, "time": 0.5,
        "predictions": [{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}],
        "accepted": ["a"], "unsure": True, "bundle": "d" * 64, **more,
    }  # fmt: skip
