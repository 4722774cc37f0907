"""What an evaluation gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassRow:
    """One label's figures; each interval is 95 %.

    Attributes:
        label: The label.
        n: Test images that have it. Without any, recall and F1 are 0 and their intervals are (0, 1).
        precision: Of the images that got the label, the share that have it; 0 when none got it.
        recall: Of the images that have the label, the share that got it.
        f1: Harmonic mean of the two.
    """

    label: str
    n: int
    precision: float
    recall: float
    f1: float
    precision_interval: Interval = (0.0, 1.0)
    recall_interval: Interval = (0.0, 1.0)
    f1_interval: Interval = (0.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


@dataclass(frozen=True)
class Metrics:
    """Figures of one head on one test set; finite, whatever is missing in the test set.

    Attributes:
        values: Figures by name; the names that a gate can ask for are in `core.types.scenario.GATE_NAMES`.
        intervals: 95 % intervals by the same names; empty when they were not asked for.
        per_class: One row a label, in the head's order.
        confusion: Images by true label (row) and answer (column), for tasks with one answer an image.
        notes: By figure, what a reader should know (which class is the worst, what could not be measured).
    """

    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    per_class: list[ClassRow] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "values": dict(self.values),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "per_class": [row.to_json() for row in self.per_class],
            "confusion": self.confusion,
            "notes": dict(self.notes),
        }
