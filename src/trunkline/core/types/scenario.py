"""user -> line: what is asked for, as a YAML file that a person can read and edit."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trunkline.core.types.plan import DetectPlan

Task = Literal["classify", "multilabel", "anomaly", "detect"]
GATE_NAMES: dict[str, tuple[str, ...]] = {
    "classify": ("accuracy", "recall_min", "recall_macro", "precision_min", "f1_macro", "unsure_rate"),
    "multilabel": (
        "f1_macro",
        "f1_micro",
        "recall_min",
        "precision_min",
        "average_precision",
        "exact_match",
        "unsure_rate",
    ),
    "anomaly": ("auroc", "average_precision", "recall", "false_reject_rate", "balanced_accuracy", "unsure_rate"),
    "detect": ("map50", "map", "ap50_min", "recall", "precision", "f1", "recall_min", "precision_min", "unsure_rate"),
}
"""Quality gates that each task knows; the machine gates below hold for every task."""
PRECISION_LOSS = 0.005
"""Recall that a class may lose when a model runs in a reduced precision, and false alarms that it may gain, 0..1."""
MACHINE_GATES = ("latency_ms_p95", "bundle_kb", "champion")
_LIMIT = re.compile(r"^\s*(>=|<=|>|<)\s*([0-9]*\.?[0-9]+(?:[eE][-+]?\d+)?)\s*$")


MAX_NAME = 200
BUNDLE_SUFFIX = ".tlb"
_NOT_IN_NAMES = re.compile(r'[/\\:@*"\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def check_name(name: str) -> str:
    """A model's name as it is, when it can be a file name, a reference `NAME@VERSION` and a name in MLflow.

    Raises:
        ValueError: When it cannot.
    """
    if name != name.strip() or _NOT_IN_NAMES.search(name):
        raise ValueError(f'expected a name without / \\ : @ * " and without spaces at its ends, got {name!r}')
    if not name or name[0] in ".-":
        raise ValueError(f"expected a name that does not begin with . or -, got {name!r}")
    if name.endswith(BUNDLE_SUFFIX):
        raise ValueError(f"expected a name that does not end in {BUNDLE_SUFFIX}, as files of bundles do, got {name!r}")
    return name


def safe_name(text: str) -> str:
    """The nearest thing to a text, as a file's or a folder's name, that `check_name` lets pass."""
    name = re.sub(r"^[\s.-]+", "", _NOT_IN_NAMES.sub("-", text))[:MAX_NAME].strip()
    return name.removesuffix(BUNDLE_SUFFIX).strip() or "scenario"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limit(_Strict):
    """A limit on one figure, as `">= 0.99"`."""

    op: Literal[">=", "<=", ">", "<"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `">= 0.99"`.

        Raises:
            ValueError: When the text is not an operator and a number.
        """
        match = _LIMIT.match(text)
        if not match or not math.isfinite(float(match[2])):
            raise ValueError(f"expected a limit such as '>= 0.99' or '<= 20', got {text!r}")
        return cls(op=match[1], value=float(match[2]))  # type: ignore[arg-type]

    def holds(self, value: float) -> bool:
        """Whether a value meets the limit; NaN never does."""
        match self.op:
            case ">=":
                return value >= self.value
            case "<=":
                return value <= self.value
            case ">":
                return value > self.value
            case _:
                return value < self.value

    def __str__(self) -> str:
        return f"{self.op} {self.value:g}"


Rate = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]  # strict: YAML's `yes` would else be 1


class OperatingPoint(_Strict):
    """Where a head's threshold is put; at most one of these.

    "False reject" and "false accept" are meant as in verification (ISO/IEC 19795-1): a genuine case refused,
    an impostor let through. For `classify`, genuine is a right answer and refusing is saying `unsure`; for
    `multilabel`, genuine is a label that is there; for `anomaly`, genuine is a good part.
    """

    false_reject_rate: Rate | None = None
    false_accept_rate: Rate | None = None
    recall: Rate | None = None
    precision: Rate | None = None

    @model_validator(mode="after")
    def _one(self) -> OperatingPoint:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected at most one operating point, got {' and '.join(given)}")
        return self


class Budget(_Strict):
    """The most that one scenario may cost; checked as a gate."""

    cpu_minutes: float = Field(gt=0, strict=True)


class Split(_Strict):
    """How images are put aside for the gate, where the data brings no split of its own."""

    test: float = Field(
        default=0.25, gt=0.0, lt=1.0, strict=True, description="Share of the images kept for the gate, at most 0.5."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, strict=True)

    @field_validator("test")
    @classmethod
    def _half(cls, test: float) -> float:
        if test > 0.5:
            raise ValueError(
                f"expected at most 0.5, got {test:g}; at least half of each label is learned from, "
                "unless the data brings a test part of its own"
            )
        return test


class Labels(_Strict):
    """Changes to the labels that the data brings: rename first, then ignore."""

    rename: dict[str, str] = Field(default_factory=dict, description="Old name to new; two to one merges them.")
    ignore: tuple[str, ...] = Field(default=(), description="Labels to leave out.")
    good: tuple[str, ...] = Field(
        default=("good", "normal", "ok"), description="For `anomaly`: the labels of flawless images."
    )

    @field_validator("rename")
    @classmethod
    def _named(cls, rename: dict[str, str]) -> dict[str, str]:
        empty = [old for old, new in rename.items() if not new.strip()]
        if empty:
            raise ValueError(f"expected a name for {empty[0]!r}, got none; to leave a label out, `ignore` it")
        return rename


class Source(_Strict):
    """One folder or file of images."""

    path: Path
    format: str | None = Field(default=None, description="A data format's name; detected when not given.")

    @field_validator("path", mode="before")
    @classmethod
    def _path(cls, path: Any) -> Any:
        if isinstance(path, str) and (not path.strip() or "\0" in path):  # "" would be the scenario's own folder
            raise ValueError("expected a folder or a file; write `.` for the scenario's own folder")
        return path


def _instead(name: str, known: Sequence[str]) -> str:
    """What may have been meant by a gate that the task does not know."""
    near = difflib.get_close_matches(name, known, n=1)
    tasks = [task for task, names in GATE_NAMES.items() if name in names]
    if near and not tasks:
        return f"did you mean {near[0]!r}?"
    return (f"{' and '.join(tasks)} knows it; " if tasks else "") + f"known here: {', '.join(known)}"


class Scenario(_Strict):
    """One model that is asked for.

    Attributes are the keys of the YAML file; unknown keys are refused.
    """

    name: str = Field(min_length=1, max_length=MAX_NAME)
    task: Task
    data: tuple[Source, ...] = Field(min_length=1)
    labels: Labels = Labels()
    trunk: str = "efficientnet-lite0"
    split: Split = Split()
    gates: dict[str, str] = Field(default_factory=dict)
    operating_point: OperatingPoint = OperatingPoint()
    budget: Budget | None = None
    plan: DetectPlan | None = Field(
        default=None, description="How the head is fitted, where that is not left to the line."
    )
    precision_loss: float = Field(
        default=PRECISION_LOSS, ge=0.0, le=1.0, strict=True,
        description="What a class may lose when the model runs in a faster precision; half a point is 0.005.",
    )  # fmt: skip
    licence: str = Field(default="", description="Licence of the data; travels with the bundle.")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return check_name(name)

    @field_validator("trunk")
    @classmethod
    def _trunk(cls, trunk: str) -> str:
        if "\0" in trunk:  # it may name a file
            raise ValueError("expected the name of a trunk; `trunkline trunks ls` lists them")
        return trunk

    @field_validator("data", mode="before")
    @classmethod
    def _data(cls, data: Any) -> Any:
        items = data if isinstance(data, (list, tuple)) else [data]
        return tuple({"path": item} if isinstance(item, (str, Path)) else item for item in items)

    @model_validator(mode="after")
    def _planned(self) -> Scenario:
        if self.plan is not None and self.task != "detect":
            raise ValueError(f"plan: expected none for {self.task}, whose heads have nothing to plan")
        return self

    @model_validator(mode="after")
    def _gates(self) -> Scenario:
        known = GATE_NAMES[self.task] + MACHINE_GATES
        for name, limit in self.gates.items():
            if name not in known:
                raise ValueError(f"gates.{name}: no such gate for {self.task}; {_instead(name, known)}")
            if name == "champion":
                if limit != "no-worse":
                    raise ValueError(f"gates.champion: expected 'no-worse', got {limit!r}")
            else:
                try:
                    parsed = Limit.parse(limit)
                except ValueError as error:
                    raise ValueError(f"gates.{name}: {error}") from None
                if name not in MACHINE_GATES and parsed.value > 1:
                    raise ValueError(f"gates.{name}: expected a limit from 0 to 1, got {limit!r}; 95 % is 0.95")
        return self

    def limit(self, gate: str) -> Limit | None:
        """The limit on one gate, or None when it was not asked for."""
        text = self.gates.get(gate)
        return Limit.parse(text) if text and gate != "champion" else None
