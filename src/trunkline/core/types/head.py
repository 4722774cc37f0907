"""heads -> gate: a fitted head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import digest_bytes, digest_json

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TrainedHead:
    """A small model on a trunk's features.

    Attributes:
        task: The head's name in the table of heads, as "classify".
        labels: The labels, in the order of the head's outputs.
        trunk: Digest of the trunk whose features it reads.
        weights: Named arrays, float32 or float16.
        config: What the head needs besides weights, JSON only (regularisation chosen, taps used).
        thresholds: Operating threshold for each label, on the calibrated score.
        unsure: Lower and upper bound for each label; a score between them (lower <= s < upper) is unsure.
        calibration: Parameters of the calibration, as {"temperature": 1.3}.
    """

    task: str
    labels: tuple[str, ...]
    trunk: str
    weights: Mapping[str, np.ndarray]
    config: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    unsure: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"expected at least one label and no repeats, got {self.labels}")
        import numpy as np

        for name, array in self.weights.items():
            if not np.all(np.isfinite(array)):
                raise ValueError(f"expected finite weights, got NaN or infinity in {name!r}")

    def meta(self) -> dict[str, Any]:
        """Everything but the weights, JSON only."""
        return {
            "task": self.task,
            "labels": list(self.labels),
            "trunk": self.trunk,
            "config": dict(self.config),
            "thresholds": dict(self.thresholds),
            "unsure": {k: list(v) for k, v in self.unsure.items()},
            "calibration": dict(self.calibration),
        }

    def digest(self) -> str:
        """SHA-256 over meta and weights."""
        arrays = {
            name: [str(a.dtype), list(a.shape), digest_bytes(a.tobytes())] for name, a in sorted(self.weights.items())
        }
        return digest_json({"meta": self.meta(), "weights": arrays})
