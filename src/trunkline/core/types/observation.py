"""sensor -> engine -> rules: one reading in, one observation out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Reading:
    """One picture (or one value) from a source.

    Attributes:
        source: Path or name of where it came from.
        frame: Number of the frame within the source, from 0.
        time: Seconds since the source began; 0 for still images.
        pixels: RGB uint8 array of shape (height, width, 3).
    """

    source: str
    frame: int
    time: float
    pixels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or str(self.pixels.dtype) != "uint8":
            raise ValueError(
                f"expected uint8 pixels of shape (height, width, 3), got {self.pixels.dtype} {self.pixels.shape}"
            )


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label with its score in 0..1.

    Attributes:
        label: What is seen.
        score: Calibrated, where a model of ours says it; raw, where a model that somebody brought says it.
        box: Where, for tasks that look for things: x1, y1, x2, y2 in pixels of the source.
        accepted: Whether the model stands for this thing at its operating point; None for labels of whole images, and
            for models that have no such point.
    """

    label: str
    score: float
    box: tuple[float, float, float, float] | None = None
    accepted: bool | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"expected a score in 0..1, got {self.score}")
        if self.box is not None and not (0 <= self.box[0] < self.box[2] and 0 <= self.box[1] < self.box[3]):
            raise ValueError(f"expected a box x1, y1, x2, y2 with 0 <= x1 < x2 and 0 <= y1 < y2, got {self.box}")

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"label": self.label, "score": self.score}
        if self.box is not None:
            row["box"] = list(self.box)
        if self.accepted is not None:
            row["accepted"] = self.accepted
        return row


@dataclass(frozen=True)
class Observation:
    """What one model says of one reading.

    Attributes:
        source, frame, time: The reading's.
        predictions: Labels by falling score. `classify`: all labels, the first is the answer; `multilabel`: all
            labels, those at or over their threshold are in `accepted`; `anomaly`: the two labels; `detect`: one entry a
            thing that is accepted or nearly, each with its box.
        accepted: The labels that the model stands for, at its operating point.
        unsure: True inside the band where a person should look.
        bundle: Digest of the bundle.
        anomaly_score: For `anomaly`: the raw score; larger is stranger.
    """

    source: str
    frame: int
    time: float
    predictions: tuple[Prediction, ...]
    accepted: tuple[str, ...]
    unsure: bool
    bundle: str
    anomaly_score: float | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "source": self.source,
            "frame": self.frame,
            "time": self.time,
            "predictions": [prediction.to_json() for prediction in self.predictions],
            "accepted": list(self.accepted),
            "unsure": self.unsure,
            "bundle": self.bundle,
        }
        if self.anomaly_score is not None:
            row["anomaly_score"] = self.anomaly_score
        return row
