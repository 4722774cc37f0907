"""What an evaluation gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from trunkline.core.digest import json_ready

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassRow:
    """One label's figures; each interval is 95 %, and (0, 1) for what could not be measured.

    Attributes:
        label: The label.
        n: Test images that have it.
        precision: Of the images that got the label, the share that have it; NaN when none got it.
        recall: Of the images that have the label, the share that got it; NaN when none has it.
        f1: Harmonic mean of the two; NaN when no test image has the label.
        false: Test images that got the label and do not have it.
        average_precision: For tasks that look for things, at an overlap of one half; NaN for others. There, all of the
            above count things and boxes instead of images.
    """

    label: str
    n: int
    precision: float
    recall: float
    f1: float
    false: int = 0
    precision_interval: Interval = (0.0, 1.0)
    recall_interval: Interval = (0.0, 1.0)
    f1_interval: Interval = (0.0, 1.0)
    average_precision: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """The fields, JSON only; what could not be measured is None, and what the task does not have is not there."""
        row = {name: json_ready(getattr(self, name)) for name in self.__dataclass_fields__}
        if math.isnan(self.average_precision):
            del row["average_precision"]
        return row


@dataclass(frozen=True)
class Metrics:
    """Figures of one head on one test set.

    Attributes:
        values: Figures by name; the names that a gate can ask for are in `core.types.scenario.GATE_NAMES`. NaN is a
            figure that could not be measured on these images: no worst value stands in for it, and no gate passes it.
        intervals: 95 % intervals of the figures that were measured; empty when they were not asked for.
        per_class: One row a label, in the head's order.
        confusion: Images by true label (row) and answer (column), for tasks with one answer an image.
        notes: By figure, what a reader should know (which class is the worst, what could not be measured).
    """

    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    per_class: list[ClassRow] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {name: pair for name, pair in self.intervals.items() if not math.isnan(self.values[name])}
        object.__setattr__(self, "intervals", known)

    def to_json(self) -> dict[str, Any]:
        return {
            "values": json_ready(self.values),
            "intervals": json_ready(self.intervals),
            "per_class": [row.to_json() for row in self.per_class],
            "confusion": self.confusion,
            "notes": dict(self.notes),
        }
