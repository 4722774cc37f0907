"""What a report holds: plain frozen records, JSON-able but for the bytes of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trunkline.core.types.dataset import Finding
from trunkline.core.types.gate import GateReport

OverviewStatus = Literal["passed", "measured", "failed", "error"]
CurveKind = Literal["sure", "reject"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its 95 % interval; NaN where it could not be measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How one class fares on the test pictures.

    Attributes:
        label: The class.
        count: Test pictures that have it.
        recall: Share of those that were found.
        precision: Share of the answers with this label that are right.
    """

    label: str
    count: int
    recall: Figure
    precision: Figure


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One threshold. `sure`: x is the share that is answered, y the share of the answers that is right. `reject`: x is
    the share of good pictures rejected, y the share of flawed ones missed. The threshold is a score: at or over it a
    picture is answered (`sure`) or rejected (`reject`); NaN where no single score tells."""

    x: float
    y: float
    threshold: float = float("nan")


@dataclass(frozen=True, slots=True)
class Curve:
    """What other thresholds would give, and where the model stands.

    Attributes:
        kind: "sure" for `classify` and `multilabel`, "reject" for `anomaly`.
        points: Points by falling x.
        operating: Where the model's own threshold puts it.
    """

    kind: CurveKind
    points: tuple[CurvePoint, ...]
    operating: CurvePoint


@dataclass(frozen=True, slots=True)
class Histogram:
    """Anomaly scores of the test pictures.

    Attributes:
        low, high: Ends of the axis, in units of the raw score.
        good, anomaly: Pictures in each of n bins of the same width.
        threshold: At or over it a picture is called an anomaly.
        unsure: Lower and upper end of the band where a person should look, when there is one.
    """

    low: float
    high: float
    good: tuple[int, ...]
    anomaly: tuple[int, ...]
    threshold: float
    unsure: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.good) != len(self.anomaly) or not self.good:
            raise ValueError(f"expected as many bins of both, got {len(self.good)} and {len(self.anomaly)}")
        if not self.low < self.high:
            raise ValueError(f"expected low < high, got {self.low} and {self.high}")


@dataclass(frozen=True, slots=True)
class Picture:
    """One test picture that a person should see.

    Attributes:
        name: File name, relative to its source.
        truth: Its label; several are joined with ", ".
        said: What the model said, likewise.
        score: The calibrated score of what was said, 0..1.
        thumbnail: JPEG or PNG bytes.
        overlay: The same picture with its heat map, or b"" where there is none.
    """

    name: str
    truth: str
    said: str
    score: float
    thumbnail: bytes
    overlay: bytes = b""


@dataclass(frozen=True, slots=True)
class StationCost:
    """Seconds on the wall and CPU seconds of all threads that one station took."""

    station: str
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What the model cost.

    Attributes:
        stations: In the order in which they ran.
        bundle_bytes: Size of the packed bundle.
        images: Images of the data set.
        embedded: Images that really went through the trunk; the rest were in the feature cache.
    """

    stations: tuple[StationCost, ...]
    bundle_bytes: int
    images: int
    embedded: int

    @property
    def seconds(self) -> float:
        return sum(station.seconds for station in self.stations)

    @property
    def cpu_seconds(self) -> float:
        return sum(station.cpu_seconds for station in self.stations)

    @property
    def images_per_second(self) -> float | None:
        """Images embedded a second, or None when nothing had to be embedded."""
        wall = sum(station.seconds for station in self.stations if station.station == "embed")
        return self.embedded / wall if self.embedded and wall > 0 else None


@dataclass(frozen=True)
class ReportData:
    """Everything that the report of one model shows.

    Attributes:
        name: The scenario's name.
        task: "classify", "multilabel" or "anomaly".
        gate: What was asked and measured.
        labels: The label space, in the order of the rows and columns of `confusion`.
        train_images, test_images: Pictures that it learned from and was measured on.
        costs: What it cost.
        scenario: What was asked for, in words: field -> text.
        model: Name and version in the registry, as "steel-surface@3".
        made: When it was made, as text; empty keeps it out.
        per_class: One row a class.
        confusion: Counts, rows are the truth and columns what was said; None where the task has none.
        curve, histogram: None where there are none.
        mistakes: Wrong answers, the most confident first.
        unsure: Pictures inside the unsure band.
        best: Pictures of many things that were all found, for tasks that look for things.
        mistakes_total, unsure_total: How many there are in all; those shown may be fewer.
        findings: What inspection saw in the data.
        thumbnails: Pictures of findings: digest of the image -> JPEG or PNG bytes.
        lineage: Full digests of what it came from: scenario, dataset, trunk, head, bundle, features, split seed.
        licences: Of what -> licence.
        versions: Package or machine part -> version.
        next_steps: What the reader should do; derived from the gate and the data when empty.
        overview: Path of the page over all models, relative to the report; "" for none.
    """

    name: str
    task: str
    gate: GateReport
    labels: tuple[str, ...]
    train_images: int
    test_images: int
    costs: Costs
    scenario: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    made: str = ""
    per_class: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    curve: Curve | None = None
    histogram: Histogram | None = None
    mistakes: tuple[Picture, ...] = ()
    unsure: tuple[Picture, ...] = ()
    best: tuple[Picture, ...] = ()
    mistakes_total: int = 0
    unsure_total: int = 0
    findings: tuple[Finding, ...] = ()
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()
    overview: str = ""

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.confusion is not None and [len(row) for row in self.confusion] != [count] * count:
            got = [len(row) for row in self.confusion]
            raise ValueError(f"expected a confusion matrix of {count} rows of {count}, got rows of {got}")

    @property
    def status(self) -> Literal["passed", "measured", "failed"]:
        """The verdict; "measured" where nothing was asked, so that there is nothing to pass."""
        if not self.gate.checks:
            return "measured"
        return "passed" if self.gate.passed else "failed"


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """One model, or one scenario that could not be built, in the page over a batch.

    Attributes:
        name: The scenario's name.
        status: "measured" for a model of which nothing was asked, "error" for a scenario that could not be built.
        task: Its task.
        measure: Name of its main figure, as "accuracy".
        figure: The main figure; None for an error.
        worst_class: The class with the lowest recall, or "".
        worst_recall: Its recall.
        bundle_bytes, seconds, cpu_seconds: What it cost.
        report: Path of its report relative to the overview; "" for none.
        thin: Whether the evidence of one of its gates is thin.
        note: Why it failed, in one sentence.
    """

    name: str
    status: OverviewStatus
    task: str
    measure: str = ""
    figure: Figure | None = None
    worst_class: str = ""
    worst_recall: float | None = None
    bundle_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    report: str = ""
    thin: bool = False
    note: str = ""
