"""What the line says of itself: results, errors of single scenarios, progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from trunkline.core.digest import json_ready
from trunkline.core.errors import TrunklineError
from trunkline.core.types.gate import NOTHING_ASKED, headline

STATIONS = ("intake", "embed", "inspect", "fit", "gate", "pack", "report", "register")
"""In the order in which an image passes them."""
_MEASURED = ("value", "low", "high")
Status = Literal["passed", "failed", "unchanged"]


@dataclass(frozen=True)
class BuildResult:
    """One model made; the fields are those of `build --json`.

    Attributes:
        status: "passed", "failed" (built, and a gate failed) or "unchanged" (nothing had to be done).
        digest: The bundle's digest.
        bundle: Path of the bundle file.
        metrics: Figures by name; NaN (in JSON null) where one could not be measured.
        seconds: Wall seconds by station; a share by images where many scenarios went through together.
        cpu_seconds: CPU seconds of all threads up to the sealed bundle, shared likewise: the one figure that the
            registry, the report and the overview show as well. Writing the report and registering come after it.
        rung: The rung of the ladder that the model stands on.
        alias: What the version became: "champion", "challenger" or "".
        format: Layouts in which the data came, as asked for or detected: "imagefolder".
        intervals: 95 % intervals of the metrics that have one.
        worst: Label and recall of the class that is found least; empty where there is none.
    """

    scenario: str
    task: str
    status: Status
    name: str
    version: int
    digest: str
    bundle: str
    images: int
    classes: int
    metrics: dict[str, float]
    gates: list[dict[str, Any]]
    seconds: dict[str, float]
    cpu_seconds: float
    bundle_bytes: int
    rung: str
    alias: str = ""
    report: str = ""
    dataset: str = ""
    format: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    worst: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields, JSON only; a figure that could not be measured (NaN) is None."""
        return {name: json_ready(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> BuildResult:
        """What `to_json` gave.

        Raises:
            TypeError: When the fields are those of another version.
        """
        result = cls(**row)
        try:
            return replace(
                result,
                metrics={name: _figure(value) for name, value in result.metrics.items()},
                gates=[{**gate, **{name: _figure(gate[name]) for name in _MEASURED}} for gate in result.gates],
                intervals={name: [_figure(value) for value in pair] for name, pair in result.intervals.items()},
            )
        except (AttributeError, KeyError) as error:
            raise TypeError(f"expected the fields of a result, got {error}") from error

    def unchanged(self) -> BuildResult:
        """The same model, met again with nothing to do."""
        return replace(self, status="unchanged", seconds={}, cpu_seconds=0.0)

    @property
    def gates_passed(self) -> bool:
        return all(gate["verdict"] == "passed" for gate in self.gates)

    @property
    def missed(self) -> list[str]:
        """Limits that were not met, as "recall_min >= 0.97"."""
        return [f"{gate['name']} {gate['limit']}" for gate in self.gates if gate["verdict"] == "failed"]

    @property
    def may_pass_again(self) -> bool:
        """Whether it failed, and only by figures of the machine and the moment: it may have been busy."""
        failed = [gate for gate in self.gates if gate["verdict"] == "failed"]
        return bool(failed) and all(gate.get("machine", False) for gate in failed)

    @property
    def verdict(self) -> str:
        """For people: a model of which nothing was asked did not pass anything."""
        if not self.gates:
            return NOTHING_ASKED
        return "passed" if self.gates_passed else "failed"

    @property
    def figure(self) -> str:
        """Name of the figure that stands for the model in lists."""
        return headline(self.task, self.metrics)


def _figure(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass(frozen=True)
class Outcome:
    """Everything that one build gave: models, and scenarios that could not be built."""

    results: Sequence[BuildResult]
    errors: Sequence[tuple[str, TrunklineError]]

    @property
    def exit_status(self) -> int:
        """0, 2 when an input was wrong, else 3 when a gate failed."""
        if self.errors:
            return max(error.exit_status for _, error in self.errors)
        return 0 if all(result.gates_passed for result in self.results) else 3


class Listener(Protocol):
    """Told of progress while a build runs."""

    def advance(self, station: str, done: int, total: int, unit: str) -> None:
        """`done` of `total` units have passed a station."""

    def message(self, text: str) -> None:
        """One sentence for the user."""

    def finished(self, result: BuildResult) -> None:
        """One model is done."""


class Silent:
    """A `Listener` that says nothing."""

    def advance(self, station: str, done: int, total: int, unit: str) -> None:
        return

    def message(self, text: str) -> None:
        return

    def finished(self, result: BuildResult) -> None:
        return
