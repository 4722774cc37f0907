"""registry -> engine: a packed, measured, signed model.

A bundle says how its gate went. `passed` needs a report in which every check passed. `overridden` needs a recorded,
signed reason. A model whose gate failed is kept as `failed`, so that it can be looked at: it can be read, evaluated and
asked (with a warning), and can never become champion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from trunkline.core.digest import short
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import MAX_NAME, PRECISION_LOSS, check_name

SCHEMA = 1
"""Version of `bundle.json`. Raise it when an older Trunkline could not use the bundle rightly."""
BundleStatus = Literal["passed", "failed", "overridden"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TrunkRef(_Strict):
    """The trunk that the head reads.

    Attributes:
        name: For people.
        digest: Names the features that the trunk gives.
        preprocessing: Digest of input size and scaling alone.
        licence: Licence of the trunk's weights.
    """

    name: str
    digest: Digest
    preprocessing: Digest
    licence: str


class TestSet(_Strict):
    """The frozen test images: those of the split "test" in the data set of this digest."""

    dataset: Digest
    images: int = Field(ge=0)


class GateRecord(_Strict):
    """One check of the gate. Figures that depend on the machine and the moment (`machine`) are left out as None."""

    name: str
    limit: str
    verdict: Literal["passed", "failed"]
    evidence: Literal["ok", "thin"]
    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    note: str
    machine: bool


class Override(_Strict):
    """Who lets a failed model through, and why; signed with the bundle that it is in.

    Attributes:
        bundle: Digest of the failed bundle.
    """

    who: str = Field(min_length=1)
    why: str = Field(min_length=1)
    bundle: Digest


class Lineage(_Strict):
    """Digests of what the model came from."""

    scenario: Digest
    dataset: Digest
    trunk: Digest
    head: Digest


class Manifest(_Strict):
    """`bundle.json`: everything about a model but its weights.

    Attributes:
        status: "candidate" before the gate; nothing but the gate reads such a one.
        metrics: Figures that follow from the inputs; None where one could not be measured. Times are not among them.
        intervals: 95 % intervals of those that have one.
        data_licence: Licence of the data.
        precision_loss: What a class may lose when the model runs in a reduced precision, 0..1.
    """

    schema_version: int = Field(ge=1)
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(check_name)]
    task: str
    labels: list[str] = Field(min_length=1)
    thresholds: dict[str, FiniteFloat]
    unsure: dict[str, Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]]
    calibration: dict[str, FiniteFloat]
    config: dict[str, Any]
    trunk: TrunkRef
    data_licence: str
    precision_loss: Annotated[FiniteFloat, Field(ge=0, le=1)] = PRECISION_LOSS
    lineage: Lineage
    status: Literal["candidate", "passed", "failed", "overridden"] = "candidate"
    test: TestSet | None = None
    metrics: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    intervals: dict[str, Annotated[list[FiniteFloat | None], Field(min_length=2, max_length=2)]] = Field(
        default_factory=dict
    )
    gates: list[GateRecord] = Field(default_factory=list)
    override: Override | None = None

    @model_validator(mode="after")
    def _honest(self) -> Manifest:
        failed = [gate.name for gate in self.gates if gate.verdict == "failed"]
        measured = self.test is not None
        rules = {
            "candidate": not measured and not self.gates and self.override is None,
            "passed": measured and not failed and self.override is None,
            "failed": measured and bool(failed) and self.override is None,
            "overridden": measured and bool(failed) and self.override is not None,
        }
        if not rules[self.status]:
            said = f"failed gates {failed}, {'an' if self.override else 'no'} override"
            raise ValueError(f"status {self.status!r} does not go with {said}")
        if self.lineage.trunk != self.trunk.digest:
            raise ValueError(f"expected one trunk, got {self.trunk.digest} and {self.lineage.trunk} in the lineage")
        return self

    def head(self, weights: Mapping[str, Any]) -> TrainedHead:
        """The head of these weights.

        Raises:
            ValueError: When labels repeat or a weight is not finite.
        """
        return TrainedHead(
            task=self.task,
            labels=tuple(self.labels),
            trunk=self.trunk.digest,
            weights=weights,
            config=self.config,
            thresholds=self.thresholds,
            unsure={label: (band[0], band[1]) for label, band in self.unsure.items()},
            calibration=self.calibration,
        )


@dataclass(frozen=True)
class Bundle:
    """A model as it ships.

    Attributes:
        digest: SHA-256 over the content, signature left out: two homes give the same one.
        manifest: What `bundle.json` says.
        head: The head, ready to use.
        preview: PNG bytes.
        report: The deterministic part of the report, JSON.
        signer: Public key (Ed25519, hex) of who signed it.
        trusted: Whether this home trusts the signer.
        size: Bytes of the file.
    """

    digest: str
    manifest: Manifest
    head: TrainedHead
    preview: bytes
    report: Mapping[str, Any]
    signer: str
    trusted: bool
    size: int

    def __post_init__(self) -> None:
        if self.manifest.status == "candidate":
            raise ValueError("expected a model that was measured (with a gate report), got a candidate")
        if self.head.digest() != self.manifest.lineage.head:
            raise ValueError(f"expected the head {self.manifest.lineage.head}, got {self.head.digest()}")

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def task(self) -> str:
        return self.manifest.task

    @property
    def trunk(self) -> TrunkRef:
        return self.manifest.trunk

    @property
    def status(self) -> BundleStatus:
        return self.manifest.status  # type: ignore[return-value]  # never a candidate, see above

    @property
    def warnings(self) -> list[str]:
        """What somebody who uses this model must know, one sentence each."""
        said = []
        failed = ", ".join(gate.name for gate in self.manifest.gates if gate.verdict == "failed")
        if self.status == "failed":
            said.append(f"{self.name}: this model failed its gate ({failed})")
        if self.manifest.override:
            why = self.manifest.override
            said.append(f"{self.name}: this model failed its gate ({failed}); let through by {why.who}: {why.why}")
        if not self.trusted:
            said.append(f"{self.name}: signed with a key that this home does not know ({short(self.signer)})")
        return said
