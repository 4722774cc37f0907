"""gate -> registry: what was measured, what was asked, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed"]
Evidence = Literal["ok", "thin"]
PRIMARY = {"classify": "accuracy", "multilabel": "f1_macro", "anomaly": "auroc", "detect": "map50"}
"""The one figure that says how good a model of each task is; champions are compared by it."""
_INSTEAD: dict[str, tuple[str, ...]] = {"anomaly": ("false_reject_rate", "recall")}
NOT_MEASURED = "not measured"
NOTHING_ASKED = "measured, nothing asked"
"""The verdict in words on a model without gates: it neither passed nor failed."""


def headline(task: str, metrics: Mapping[str, float | None]) -> str:
    """Name of the figure that stands for a model in lists.

    The task's primary figure, or the first that could be measured in its place: an anomaly model with good test images
    alone has no AUROC, and stands by its false reject rate.

    Args:
        task: The model's task.
        metrics: Its figures; None or NaN where one could not be measured.
    """
    names: tuple[str, ...] = (PRIMARY.get(task, ""), *_INSTEAD.get(task, ()))
    return next((name for name in names if is_measured(metrics.get(name))), names[0])


def is_measured(value: float | None) -> bool:
    """Whether a figure is a number at all."""
    return value is not None and math.isfinite(value)


def said(value: float | None, digits: int = 4) -> str:
    """A figure as text, as "0.9975" or "not measured"."""
    return f"{value:.{digits}f}" if is_measured(value) else NOT_MEASURED


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One figure against its limit.

    Attributes:
        name: The gate's name, as "recall_min".
        value: The figure measured; NaN where it could not be, and such a check does not pass.
        low, high: Bounds of its 95 % interval; both equal to value where it has none (bytes).
        limit: The limit as it was written, as ">= 0.97".
        verdict: "passed" or "failed", by the value; a model that is unsure of every test image passes no limit on
            its answers.
        evidence: "thin" where the interval straddles the limit.
        note: What a person should know, as the name of the worst class, or what is missing to measure the figure.
        machine: True for figures that depend on the machine and the moment (latency, CPU); they are kept in the
            registry and the report, and left out of the bundle so that its bytes stay the same.
    """

    name: str
    value: float
    low: float
    high: float
    limit: str
    verdict: Verdict
    evidence: Evidence = "ok"
    note: str = ""
    machine: bool = False

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class GateReport:
    """All checks of one head on its frozen test images.

    Attributes:
        head: Digest of the head that was measured.
        dataset: Digest of the data set whose test split was used.
        checks: The checks.
        metrics: All figures measured, gated or not: name -> value.
        intervals: 95 % intervals of those that have one: name -> (low, high).
    """

    head: str
    dataset: str
    checks: tuple[GateCheck, ...]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]

    @property
    def passed(self) -> bool:
        return all(check.verdict == "passed" for check in self.checks)

    @property
    def failed(self) -> Sequence[GateCheck]:
        return [check for check in self.checks if check.verdict == "failed"]
