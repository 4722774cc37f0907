"""From a finished job to the records of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trunkline.core.files import write_atomic
from trunkline.core.types.dataset import Boxed
from trunkline.core.types.scenario import Scenario
from trunkline.platform.line.report import figures
from trunkline.platform.line.report.data import Costs, Curve, Histogram, Picture, ReportData, StationCost
from trunkline.platform.line.report.pictures import heat_top, overlay, reduced, thumbnail
from trunkline.platform.line.report.render import render
from trunkline.platform.line.report.things import compared, side_by_side

if TYPE_CHECKING:
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.gate import GateReport
    from trunkline.platform.line.finish import Gated
    from trunkline.platform.line.gate import Measured
    from trunkline.platform.line.job import Job

_OPERATING = {
    "false_reject_rate": "false reject rate", "false_accept_rate": "false accept rate",
    "recall": "recall", "precision": "precision",
}  # fmt: skip
_SIDE = 160


@dataclass(frozen=True)
class Shown:
    """A test picture to show: its row among the test images, what was said of it, and how surely."""

    row: int
    said: str
    score: float


def write_report(job: Job, gated: Gated, bundle: Bundle) -> Path:
    """Write the report of one model to `HOME/reports/DIGEST.html` and return its path."""
    path = job.shop.settings.home / "reports" / f"{bundle.digest}.html"
    write_atomic(path, render(report_data(job, gated, bundle)).encode(), durable=False)
    return path


def report_data(job: Job, gated: Gated, bundle: Bundle) -> ReportData:
    """Everything that the report of one model shows."""
    measured, most = gated.measured, job.shop.settings.report_pictures
    mistakes, unsure = wrong(measured), doubted(measured)
    shown = [*mistakes[:most], *unsure[:most]]
    draw = _boxed if job.scenario.task == "detect" else _pictures
    drawn = draw(job, measured, shown)
    histogram, curve = _curves(measured)
    best = _boxed(job, measured, right(measured)[:most]) if job.scenario.task == "detect" else []
    return ReportData(
        name=job.scenario.name,
        task=job.scenario.task,
        gate=_with_machine(gated),
        labels=job.dataset.labels,
        train_images=len(job.rows("train")),
        test_images=len(measured.targets),
        costs=_costs(job, bundle),
        scenario=asked_for(job.scenario, job.dataset.format),
        model=job.scenario.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        per_class=figures.class_figures(measured.metrics.per_class),
        confusion=_confusion(measured),
        curve=curve,
        histogram=histogram,
        mistakes=tuple(drawn[: min(most, len(mistakes))]),
        unsure=tuple(drawn[min(most, len(mistakes)) :]),
        best=tuple(best),
        mistakes_total=len(mistakes),
        unsure_total=len(unsure),
        findings=gated.findings,
        thumbnails=_thumbnails(job, gated),
        lineage=_lineage(job, bundle),
        licences={"Trunk weights": job.trunk.card.licence, "Data": job.scenario.licence or "not said"},
        versions=_versions(),
        overview=job.shop.overview,
    )


def _with_machine(gated: Gated) -> GateReport:
    return replace(gated.report, metrics={**gated.report.metrics, **gated.machine})


def _confusion(measured: Measured) -> tuple[tuple[int, ...], ...] | None:
    counts = measured.metrics.confusion
    return tuple(tuple(row) for row in counts) if counts is not None else None


def asked_for(scenario: Scenario, layout: str) -> dict[str, str]:
    """A scenario in words: field -> text.

    Args:
        scenario: What was asked for.
        layout: The layout in which the data came.
    """
    named = all(source.format for source in scenario.data)
    point = {name: getattr(scenario.operating_point, name) for name in _OPERATING}
    asked = {
        "Task": scenario.task,
        "Data": ", ".join(source.path.name for source in scenario.data),
        "Layout of the data": f"{layout}, {'as asked' if named else 'detected'}",
        "Trunk": scenario.trunk,
        "Split": f"{scenario.split.test:.0%} put aside, seed {scenario.split.seed}, where the data brings no split",
        "Operating point": ", ".join(f"{_OPERATING[n]} {v:g}" for n, v in point.items() if v is not None) or "default",
    }
    if scenario.budget:
        asked["Budget"] = f"{scenario.budget.cpu_minutes:g} CPU minutes"
    return asked | {f"Gate {name}": str(limit) for name, limit in scenario.gates.items()}


def _answers(measured: Measured) -> list[int]:
    """Number of the label that is said of each image, for tasks with one answer an image."""
    one = measured.scores.accepted if measured.head.task == "anomaly" else measured.scores.probabilities
    return [int(k) for k in one.argmax(axis=1)]


def wrong(measured: Measured) -> list[Shown]:
    """Wrong answers, the most confident first."""
    scores, labels = measured.scores, measured.head.labels
    if measured.head.task == "detect":
        return [Shown(one.row, one.said, one.score) for one in compared(measured) if one.missed or one.false]
    p, answers = scores.probabilities, _answers(measured)
    found = []
    for row, truth in enumerate(measured.targets):
        if measured.head.task == "multilabel":
            said = tuple(label for label, taken in zip(labels, scores.accepted[row], strict=True) if taken)
            if set(said) != set(truth):
                worst = max(
                    (float(p[row, k]) if label in said else 1 - float(p[row, k]))
                    for k, label in enumerate(labels)
                    if (label in said) != (label in truth)
                )
                found.append(Shown(row, ", ".join(said) or "none", worst))
            continue
        best = answers[row]
        if labels[best] not in truth:
            found.append(Shown(row, labels[best], float(p[row, best])))
    return sorted(found, key=lambda one: (-one.score, one.row))


def right(measured: Measured) -> list[Shown]:
    """Pictures whose things were all found, and nothing else, for tasks that look for things: the most things first."""
    rows = [one for one in compared(measured) if one.found and not one.missed and not one.false]
    return [
        Shown(one.row, one.said, one.score) for one in sorted(rows, key=lambda one: (-one.found, -one.score, one.row))
    ]


def doubted(measured: Measured) -> list[Shown]:
    """Images in the unsure band, the least sure first."""
    p, labels, answers = measured.scores.probabilities, measured.head.labels, _answers(measured)
    if measured.head.task == "detect":
        there = [one for one in compared(measured) if measured.scores.unsure[one.row]]
        return [Shown(one.row, one.said, one.score) for one in there]
    found = []
    for row in np.nonzero(measured.scores.unsure)[0].tolist():
        k = int(np.abs(p[row] - 0.5).argmin()) if measured.head.task == "multilabel" else answers[row]
        found.append(Shown(row, labels[k], float(p[row, k])))
    return sorted(found, key=lambda one: (one.score, one.row))


def _curves(measured: Measured) -> tuple[Histogram | None, Curve | None]:
    head, scores = measured.head, measured.scores
    if head.task == "detect":
        return None, None
    if head.task == "anomaly" and scores.anomaly is not None:
        flawed = np.array(["anomaly" in truth for truth in measured.targets])
        low, high = head.config["band"]
        band = (float(low), float(high)) if high > low else None
        bars = figures.histogram(scores.anomaly, flawed, head.config["cut"], band)
        curve = None
        if flawed.any() and not flawed.all():
            curve = figures.reject_curve(scores.anomaly, flawed, head.config["cut"])
        return bars, curve
    if head.task == "multilabel":
        right = np.array(
            [
                all(taken == (label in truth) for label, taken in zip(head.labels, row, strict=True))
                for row, truth in zip(scores.accepted, measured.targets, strict=True)
            ]
        )
        sure = np.maximum(scores.probabilities, 1 - scores.probabilities).min(axis=1)
        return None, figures.sure_curve(sure, right, scores.unsure)
    right = np.array([head.labels[k] in truth for k, truth in zip(_answers(measured), measured.targets, strict=True)])
    cuts = {high for _, high in head.unsure.values()}
    cut = cuts.pop() if len(cuts) == 1 else float("nan")
    return None, figures.sure_curve(scores.probabilities.max(axis=1), right, scores.unsure, cut)


def _pictures(job: Job, measured: Measured, shown: Sequence[Shown]) -> list[Picture]:
    """Thumbnails with heat maps for what was said."""
    from trunkline.algorithms.trunks import preprocess

    rows = job.rows("test")
    samples = [job.dataset.samples[rows[one.row]] for one in shown]
    small, inputs = [], []
    for _, image in job.pictures([sample.image for sample in samples]):  # a whole one is held only here
        small.append(reduced(image, _SIDE))
        inputs += [] if job.dense else [preprocess(image, job.trunk.card)]
    heats = heat_maps(job, measured, shown, inputs)
    top = heat_top([heat for heat in heats if heat is not None])
    return [
        Picture(
            name=sample.name,
            truth=", ".join(sample.labels) or "none",
            said=one.said,
            score=min(1.0, max(0.0, one.score)),
            thumbnail=thumbnail(image, _SIDE),
            overlay=overlay(image, heat, _SIDE, top=top) if heat is not None else b"",
        )
        for one, sample, image, heat in zip(shown, samples, small, heats, strict=True)
    ]


def _boxed(job: Job, measured: Measured, shown: Sequence[Shown]) -> list[Picture]:
    """Pictures with boxes: the truth on the left, what was said on the right."""
    rows = job.rows("test")
    samples = [job.dataset.samples[rows[one.row]] for one in shown]
    result = []
    for one, sample, (_, image) in zip(shown, samples, job.pictures([s.image for s in samples]), strict=True):
        small = reduced(image, 2 * _SIDE)
        target, things = measured.targets[one.row], (measured.scores.things or ())[one.row]
        if isinstance(target, Boxed):
            both = side_by_side(small, measured.head.labels, target, things)
            truth = ", ".join(sample.labels) or "nothing"
            result.append(Picture(sample.name, truth, one.said, one.score, thumbnail(both, both.width)))
    return result


def heat_maps(
    job: Job, measured: Measured, shown: Sequence[Shown], inputs: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """What spoke for each answer by place, from the dense taps; None for an answer that names no label.

    Args:
        job: Whose test pictures they are.
        measured: The answers.
        shown: The pictures.
        inputs: The pictures as the trunk takes them, of shape (size, size, 3); none where the job keeps dense maps.
    """
    head = measured.head
    table = _dense(job, shown, inputs)
    result: list[np.ndarray | None] = [None] * len(shown)
    by_label: dict[str, list[int]] = {}
    for place, one in enumerate(shown):
        label = "anomaly" if head.task == "anomaly" else one.said.split(", ")[0]
        if label in head.labels:
            by_label.setdefault(label, []).append(place)
    for label, places in by_label.items():
        maps = job.head_kind.heatmap(head, table.take(places), label)
        for place, heat in zip(places, maps, strict=True):
            result[place] = heat
    return result


def _dense(job: Job, shown: Sequence[Shown], inputs: Sequence[np.ndarray]) -> FeatureTable:
    """Features with dense maps of the pictures that are shown: kept for heads that need them, else made now."""
    from trunkline.core.types.features import FeatureTable

    if job.dense:
        rows = job.rows("test")
        return job.table.take([rows[one.row] for one in shown])
    names = tuple("" for _ in inputs)
    if not inputs:
        return FeatureTable(names, np.zeros((0, job.trunk.card.width), np.float32), job.trunk.card.digest)
    out = job.shop.session(job.trunk, dense=True).embed(inputs)
    dense = {name: maps for name, maps in out.items() if name != "pooled"}
    return FeatureTable(names, out["pooled"], job.trunk.card.digest, dense)


def _thumbnails(job: Job, gated: Gated) -> Mapping[str, bytes]:
    """Small pictures of what findings are about."""
    most = job.shop.settings.report_pictures
    images = dict.fromkeys(image for finding in gated.findings for image in finding.images[:most])
    there = [image for image in images if job.shop.images.has(image)]
    return {digest: thumbnail(image, _SIDE) for digest, image in job.pictures(there)}


def _costs(job: Job, bundle: Bundle) -> Costs:
    stations = tuple(StationCost(name, spent.wall, spent.cpu) for name, spent in job.costs.by_station.items())
    return Costs(stations, bundle.size, len(job.dataset.samples), job.embedded)


def _lineage(job: Job, bundle: Bundle) -> dict[str, str]:
    return {
        "Bundle": bundle.digest,
        "Scenario": bundle.manifest.lineage.scenario,
        "Data set": bundle.manifest.lineage.dataset,
        "Trunk": bundle.manifest.lineage.trunk,
        "Head": bundle.manifest.lineage.head,
        "Signed by": bundle.signer,
        "Split seed": str(job.scenario.split.seed),
    }


def _versions() -> dict[str, str]:
    from trunkline import __version__
    from trunkline.compute.chips.machine import machine

    facts = machine()
    return {
        "Trunkline": __version__,
        "Machine": f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB",
        "Python": facts["python"],
        **{name: version for name, version in facts["versions"].items() if version},
    }
