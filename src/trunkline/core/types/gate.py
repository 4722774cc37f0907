"""gate -> registry: what was measured, what was asked, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed"]
Evidence = Literal["ok", "thin"]


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One figure against its limit.

    Attributes:
        name: The gate's name, as "recall_min".
        value: The figure measured.
        low, high: Bounds of its 95 % interval; both equal to value where it has none (bytes).
        limit: The limit as it was written, as ">= 0.97".
        verdict: "passed" or "failed", by the value.
        evidence: "thin" where the interval straddles the limit.
        note: What a person should know, as the name of the worst class.
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
