"""The last stations of one scenario: gate, pack, report, register."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import canonical_json, digest_json, short
from trunkline.core.errors import BundleError
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.scenario import Limit
from trunkline.platform.data.view import truths
from trunkline.platform.line import gate, latency
from trunkline.platform.line.gate import Measured
from trunkline.platform.line.results import BuildResult
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.keys import signing_key
from trunkline.platform.registry.versions import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Finding, Sample
    from trunkline.platform.line.job import Job
    from trunkline.platform.registry.registry import Registry
    from trunkline.platform.registry.versions import ModelVersion

_KB = 1024
_SHOWN = 8  # images of one finding that the bundle names


@dataclass(frozen=True)
class Gated:
    """What the gate gives.

    Attributes:
        candidate: The packed head that was measured.
        measured: Its answers on the test images.
        report: The checks on answers, latency, budget and champion; the size is checked when the bundle is sealed.
        machine: Figures that depend on the machine: latencies in milliseconds.
        findings: Those of the data set, and the labels that the model doubts.
    """

    candidate: bytes
    measured: Measured
    report: GateReport
    machine: dict[str, float]
    findings: tuple[Finding, ...]


def finish(job: Job, registry: Registry, who: str) -> BuildResult:
    """Measure, seal, describe and register one model.

    Args:
        job: With its fitted head.
        registry: Where the model goes.
        who: Name for the audit log.
    """
    from trunkline.platform.line.report.assemble import write_report

    shop, costs = job.shop, job.costs
    with shop.meter.station("gate", costs):
        gated = measure(job)
    with shop.meter.station("pack", costs):
        sealed, report = pack(job, gated)
        bundle = bundles.read(sealed)
        path = shop.settings.home / "bundles" / f"{bundle.digest}.tlb"
        dataset = shop.data.save(job.dataset)
    gated = replace(gated, report=report)
    metrics = _metrics(job, gated, bundle)  # before the report, which can only show the CPU that was spent before it
    same = job.champion is not None and job.champion.digest == bundle.digest
    job.taken_off = _taken_off(registry, bundle)
    alias = None if same else alias_of(job, report)  # the champion, built again, stays what it is
    with shop.meter.station("report", costs):
        page = write_report(job, gated, bundle)
    with shop.meter.station("register", costs):
        version = registry.register(
            sealed,
            page,
            metrics=metrics,
            params=_params(job),
            promote=alias,
            over=job.champion.version if job.champion else None,
            who=who,
            why=_why(job, alias, report),
        )
    job.overtaken = alias == CHAMPION != version.alias
    result = replace(
        _result(job, gated, bundle, path, metrics),
        report=str(page),
        version=version.version,
        alias=version.alias,
        dataset=f"{dataset.name}@{dataset.version}",
    )
    job.keep_result(result)
    return result


def measure(job: Job) -> Gated:
    """Pack the head, read it back, and measure what was packed on the test images."""
    scenario, trunk = job.scenario, job.trunk
    candidate = bundles.candidate(
        job.fitted.head,
        name=scenario.name,
        trunk=trunk.card,
        scenario=digest_json(content_of(job)),
        dataset=job.dataset.digest,
        data_licence=scenario.licence,
        precision_loss=scenario.precision_loss,
    )
    head = bundles.open_candidate(candidate)
    rows = job.rows("test")
    targets = job.truths("test")
    table = job.table.take(rows)
    measured = gate.measure(head, table, targets)
    checks = gate.quality_checks(scenario, measured)
    figures, timed = _latency(job, head, rows)
    checks += timed
    if scenario.gates.get("champion") and job.champion is not None:
        checks.append(_against(job, measured, job.champion))
    if scenario.budget is not None:
        spent = job.costs.cpu_in_all / 60
        limit = Limit(op="<=", value=scenario.budget.cpu_minutes)
        note = "CPU minutes up to the gate, with those of stations that were finished before"
        checks.append(gate.check("cpu_minutes", limit, spent, spent, spent, note))
    report = gate.report(measured, job.dataset.digest, checks)
    findings = (*job.dataset.findings, *_doubts(job, measured, rows))
    job.dataset = replace(job.dataset, findings=findings)
    return Gated(candidate, measured, report, figures, findings)


def content_of(job: Job) -> dict[str, Any]:
    """The scenario without its places: what was asked for, wherever the images lie."""
    row = job.scenario.model_dump(mode="json")
    return {**row, "data": [source["format"] for source in row["data"]]}


def _latency(job: Job, head: Any, rows: Sequence[int]) -> tuple[dict[str, float], list[GateCheck]]:
    if job.scenario.limit("latency_ms_p95") is None:
        few = [data for _, data in job.typical[: latency.PARTS]]
        times = latency.parts_ms(job.shop, job.trunk, head, few, job.table.take(rows[:1]))
    else:
        chosen = [job.images[rows[i % len(rows)]] for i in range(latency.WHOLE + 1)]
        times = latency.whole_ms(job.shop, job.trunk, head, [data for _, data in job.read_images(chosen)])
    return gate.latency_checks(job.scenario, times)


def _against(job: Job, measured: Measured, version: ModelVersion) -> GateCheck:
    """The new head against the champion, both on the champion's own frozen test images."""
    reference = f"the champion {short(version.digest)}"  # its number may be another one in another home
    if job.champion_fault is not None:
        return _incomparable(f"the bundle of {reference} is damaged or lost")
    champion = bundles.read(version.path)
    frozen = job.champion_dataset(version)
    if frozen is None:
        return _incomparable(f"the test images of {reference} are not in this home")
    learned = {job.images[row] for row in job.rows("train")}
    kept = [sample for sample in frozen.split("test") if sample.image not in learned]
    newest, corrected = _newest(kept, job.dataset.samples)
    if champion.task != job.scenario.task:
        return _incomparable(f"{reference} is of another task")
    if not newest:
        return _incomparable(f"{reference} was tested only on images that this data now brings to learn from")
    samples = [sample for sample in newest if set(sample.labels) <= set(champion.head.labels)]
    if not samples:
        return _incomparable(f"{reference} knows none of the labels that its test images have now; were they renamed?")
    try:
        trunk = job.shop.trunk_of(champion)
    except BundleError:
        return _incomparable(f"the trunk of {reference} is not on this machine, or does not go with it")
    old = gate.measure(champion.head, _table(job, samples, trunk, champion.task), truths(champion.task, samples))
    new = gate.measure(
        measured.head, _table(job, samples, job.trunk, job.scenario.task), truths(champion.task, samples)
    )
    made = gate.champion_check(new, old, reference)
    notes = [made.note]
    if corrected:
        were = "1 of them was" if corrected == 1 else f"{corrected} of them were"
        notes.append(f"{were} labelled otherwise then, and the newest labels count")
    if unknown := len(newest) - len(samples):
        notes.append(f"without {unknown} whose labels it does not know")
    return replace(made, note="; ".join(notes))


def _incomparable(why: str) -> GateCheck:
    return GateCheck("champion", math.nan, math.nan, math.nan, "no-worse", "failed", note=f"not compared: {why}")


def _newest(frozen: Sequence[Sample], current: Sequence[Sample]) -> tuple[list[Sample], int]:
    """Frozen samples with the labels that the same images have now, and how many of them changed."""
    now = {sample.image: sample for sample in current}
    newest = [now.get(sample.image, sample) for sample in frozen]
    samples = [replace(old, labels=new.labels, boxes=new.boxes) for old, new in zip(frozen, newest, strict=True)]
    return samples, sum(
        (new.labels, new.boxes) != (old.labels, old.boxes) for new, old in zip(samples, frozen, strict=True)
    )


def _table(job: Job, samples: Sequence[Sample], trunk: Trunk, task: str) -> Any:
    """Features of a champion's test images, embedded when they are not there (another trunk, an older home)."""
    from trunkline.algorithms.heads import HEADS

    store = job.shop.features(trunk)
    images = [sample.image for sample in samples]
    return store.ensure(images, read=job.read_images, dense=HEADS.load(task)().dense)


def _doubts(job: Job, measured: Measured, test_rows: Sequence[int]) -> list[Finding]:
    """Labels that are likely wrong, from held-out scores of the training images and answers on the test images."""
    import numpy as np

    from trunkline.platform.data.inspect import doubtful_labels, doubtful_sets

    if job.scenario.task in ("anomaly", "detect"):  # learned from good images alone; what is missing has no score
        return []
    rows = [*job.rows("train"), *test_rows]
    scores = np.concatenate([job.fitted.cv_scores, measured.scores.probabilities])
    judge = doubtful_sets if job.scenario.task == "multilabel" else doubtful_labels
    return judge([job.dataset.samples[row] for row in rows], job.dataset.labels, scores)


def pack(job: Job, gated: Gated) -> tuple[bytes, GateReport]:
    """Seal the candidate with its figures; the size is a figure of its own, so it is sealed until that is true."""
    from trunkline.platform.line.report.pictures import preview

    key = signing_key(job.shop.settings.home)
    limit = job.scenario.limit("bundle_kb")
    sheet = preview([job.shop.tile(image, data) for image, data in job.typical])
    rows = {
        "per_class": [row.to_json() for row in gated.measured.metrics.per_class],
        "confusion": gated.measured.metrics.confusion,
        "findings": [
            {"kind": f.kind, "severity": f.severity, "images": list(f.images[:_SHOWN]), "count": _many(f)}
            for f in gated.findings
        ],
        "train_images": len(job.rows("train")),
        "labels": job.scenario.labels.model_dump(mode="json"),  # `evaluate` sees other data as the model was taught
    }
    report, size = gated.report, 0.0
    while True:
        sealed = bundles.seal(
            gated.candidate,
            key=key,
            report=report,
            test_images=len(gated.measured.targets),
            preview=sheet,
            report_json=rows,
        )
        now = round(len(sealed) / _KB, 1)
        if limit is None or now <= size:
            return sealed, report
        size = now
        checked = gate.check("bundle_kb", limit, size, size, size)
        others = tuple(check for check in report.checks if check.name != "bundle_kb")
        report = replace(report, checks=(*others, checked))


def _many(finding: Finding) -> int:
    return max(len(finding.images), len(finding.names))


def alias_of(job: Job, report: GateReport) -> str | None:
    """What the new version becomes: champion when it is the first that passed, or was shown to be no worse.

    A model that passed without having been compared waits as the challenger for somebody to promote it; so does one
    that was champion until a person took it off.
    """
    if not report.passed:
        return None
    compared = any(check.name == "champion" for check in report.checks)
    return CHAMPION if job.taken_off is None and (job.champion is None or compared) else CHALLENGER


def _taken_off(registry: Registry, bundle: Bundle) -> ModelVersion | None:
    """The version of the same head that was champion until a person put an older one in its place."""
    versions = registry.versions(bundle.name)
    present = next((version.version for version in versions if CHAMPION in version.aliases), 0)
    later = [version for version in versions if version.version > present]
    moves = registry.audit.entries(bundle.name) if later else []  # the whole log is read for it
    were = {move.bundle for move in moves if move.alias == CHAMPION and move.action != "abandoned"}
    head = bundle.manifest.lineage.head
    return next((version for version in later if version.digest in were and _head_of(version) == head), None)


def _head_of(version: ModelVersion) -> str:
    """Digest of a version's head; "" where its file cannot be read."""
    try:
        return bundles.read(version.path).manifest.lineage.head
    except BundleError:
        return ""


def _why(job: Job, alias: str | None, report: GateReport) -> str:
    """For the audit log; a model of which nothing was asked did not pass anything."""
    if alias is None:
        return ""
    passed = "passed its gate; " if report.checks else ""
    if job.taken_off is not None:
        return f"{passed}version {job.taken_off.version}, which has the same head, was taken off as champion"
    if alias == CHALLENGER:
        return f"{passed}not compared with the champion"
    if job.champion is not None:
        return "passed its gate, no worse than the champion"
    return "the first that passed its gate" if report.checks else "the first; nothing was asked"


def _metrics(job: Job, gated: Gated, bundle: Bundle) -> dict[str, float]:
    return {
        **gated.report.metrics,
        **gated.machine,
        **{check.name: check.value for check in gated.report.checks if check.machine},
        "bundle_kb": round(bundle.size / _KB, 1),
        "cpu_seconds": round(job.costs.cpu, 4),
        "test_images": len(gated.measured.targets),
        "train_images": len(job.rows("train")),
    }


def _params(job: Job) -> dict[str, Any]:
    scenario = job.scenario
    return {
        "task": scenario.task,
        "trunk": job.trunk.card.name,
        "images": len(job.dataset.samples),
        "labels": len(job.dataset.labels),
        "dataset": short(job.dataset.digest),
        "rung": job.fitted.head.config.get("rung", ""),
        "champion": job.champion.ref if job.champion else "",
        "operating_point": canonical_json(scenario.operating_point.model_dump(exclude_none=True)).decode(),
        "gates": canonical_json(scenario.gates).decode(),
    }


def _result(job: Job, gated: Gated, bundle: Bundle, path: Path, metrics: dict[str, float]) -> BuildResult:
    report = gated.report
    return BuildResult(
        scenario=job.scenario.name,
        task=job.scenario.task,
        status="passed" if report.passed else "failed",
        name=bundle.name,
        version=0,
        digest=bundle.digest,
        bundle=str(path),
        images=len(job.dataset.samples),
        classes=len(job.dataset.labels),
        format=job.dataset.format,
        metrics=metrics,
        gates=[check.to_json() for check in report.checks],
        seconds=job.costs.wall_by_station(),
        cpu_seconds=metrics["cpu_seconds"],
        bundle_bytes=bundle.size,
        rung=str(job.fitted.head.config.get("rung", "")),
        findings=[finding.to_json() for finding in gated.findings],
        intervals={name: list(pair) for name, pair in report.intervals.items()},
        worst=_worst(gated),
    )


def _worst(gated: Gated) -> dict[str, Any]:
    rows = [row for row in gated.measured.metrics.per_class if row.n]
    if not rows:
        return {}
    row = min(rows, key=lambda one: (one.recall, one.label))
    return {"label": row.label, "recall": row.recall}
