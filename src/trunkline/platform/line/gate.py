"""The gate: a packed head, measured through the inference path on test images that it never saw.

A limit is met by the value. Where the 95 % interval of the value straddles the limit, the evidence is thin and the
report says so: more test images would be needed to be sure either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.algorithms.metrics import Metrics, evaluate
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.scenario import MACHINE_GATES, Limit, Scenario
from trunkline.platform.engine.predictor import score

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead

PRIMARY = {"classify": "accuracy", "multilabel": "f1_macro", "anomaly": "auroc"}
"""The one figure that says how good a model of each task is; champions are compared by it."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Measured:
    """A head's answers on a test set, with the metrics."""

    head: TrainedHead
    scores: Scores
    targets: tuple[tuple[str, ...], ...]
    metrics: Metrics


def measure(head: TrainedHead, table: FeatureTable, targets: Sequence[tuple[str, ...]]) -> Measured:
    """Run a head on its test rows and score the answers.

    Args:
        head: The head, as read back from its packed bundle.
        table: Features of the n test images.
        targets: Labels of each of the n test images.
    """
    scores = score(head, table)
    metrics = evaluate(head.task, head.labels, scores, tuple(targets))
    return Measured(head, scores, tuple(targets), metrics)


def compare_paired(challenger: Measured, champion: Measured) -> tuple[float, float, float]:
    """Challenger's primary figure less the champion's on the same images, with a 95 % interval.

    The interval is a paired bootstrap over images (Efron & Tibshirani 1993, ch. 13), seeded.

    Returns:
        difference, low, high.
    """
    import numpy as np

    name = PRIMARY[challenger.head.task]
    difference = challenger.metrics.values[name] - champion.metrics.values[name]
    count = len(challenger.targets)
    if challenger.head.task == "classify":
        gain = _right(challenger).astype(float) - _right(champion)
        picks = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
        drawn = gain[picks].mean(axis=1)
    else:
        rng = np.random.default_rng(0)
        drawn = np.array([_resampled(challenger, champion, name, rng) for _ in range(_RESAMPLES // 10)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return difference, float(min(low, difference)), float(max(high, difference))


def _right(measured: Measured) -> np.ndarray:
    """Whether the first answer is among the image's labels, for n images."""
    import numpy as np

    best = measured.scores.probabilities.argmax(axis=1)
    return np.array([measured.head.labels[b] in t for b, t in zip(best, measured.targets, strict=True)], dtype=bool)


def _resampled(a: Measured, b: Measured, name: str, rng: np.random.Generator) -> float:
    rows = rng.integers(0, len(a.targets), len(a.targets))
    targets = tuple(a.targets[row] for row in rows)
    first, second = (
        evaluate(m.head.task, m.head.labels, m.scores.take(rows), targets, intervals=False).values[name] for m in (a, b)
    )
    return float(first - second)


def check(name: str, limit: Limit, value: float, low: float, high: float, note: str = "") -> GateCheck:
    """One figure against its limit."""
    straddles = limit.holds(low) != limit.holds(high)
    return GateCheck(
        name=name,
        value=value,
        low=low,
        high=high,
        limit=str(limit),
        verdict="passed" if limit.holds(value) else "failed",
        evidence="thin" if straddles else "ok",
        note=note,
        machine=name in ("latency_ms_p95", "cpu_minutes"),
    )


def quality_checks(scenario: Scenario, measured: Measured) -> list[GateCheck]:
    """The checks on answers; those on machine figures are made by the caller, who holds the figures."""
    checks = []
    for name in scenario.gates:
        limit = scenario.limit(name)
        if limit is None or name in MACHINE_GATES:
            continue
        value = measured.metrics.values[name]
        low, high = measured.metrics.intervals.get(name, (value, value))
        checks.append(check(name, limit, value, low, high, measured.metrics.notes.get(name, "")))
    return checks


def champion_check(challenger: Measured, champion: Measured, reference: str) -> GateCheck:
    """No-worse-than-champion, both measured on the champion's own frozen test set."""
    name = PRIMARY[challenger.head.task]
    if "cannot be measured" in challenger.metrics.notes.get(name, ""):
        return _by_rejects(challenger, champion, reference)
    difference, low, high = compare_paired(challenger, champion)
    before, now = champion.metrics.values[name], challenger.metrics.values[name]
    verdict = "passed" if difference >= 0 else "failed"
    return GateCheck(
        name="champion",
        value=difference,
        low=low,
        high=high,
        limit="no-worse",
        verdict=verdict,  # type: ignore[arg-type]
        evidence="thin" if low < 0 <= high and (low, high) != (0.0, 0.0) else "ok",
        note=f"{name} {now:.4f} against {before:.4f} of {reference} on its {len(champion.targets)} frozen test images",
    )


def _by_rejects(challenger: Measured, champion: Measured, reference: str) -> GateCheck:
    """Where no faulty image is there to be found, the model that refuses fewer good ones is no worse."""
    name = "false_reject_rate"
    before, now = champion.metrics.values[name], challenger.metrics.values[name]
    return GateCheck(
        name="champion",
        value=before - now,
        low=before - challenger.metrics.intervals[name][1],
        high=before - challenger.metrics.intervals[name][0],
        limit="no-worse",
        verdict="passed" if now <= before else "failed",
        evidence="thin",
        note=f"{name} {now:.4f} against {before:.4f} of {reference}; no faulty image is there to compare by",
    )


def latency_checks(scenario: Scenario, times_ms: Sequence[float]) -> tuple[dict[str, float], list[GateCheck]]:
    """Latency of one image from its bytes to its answer: figures, and the check if it was asked for.

    Args:
        scenario: Says the limit.
        times_ms: Milliseconds of single images.
    """
    import numpy as np

    if not times_ms:
        return {}, []
    p50, p95 = (float(q) for q in np.quantile(times_ms, [0.5, 0.95]))
    figures = {"latency_ms_p50": p50, "latency_ms_p95": p95}
    limit = scenario.limit("latency_ms_p95")
    if limit is None:
        return figures, []
    rng = np.random.default_rng(0)
    drawn = np.quantile(rng.choice(np.asarray(times_ms), (200, len(times_ms))), 0.95, axis=1)
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    note = f"p95 of {len(times_ms)} single images, bytes to answer"
    return figures, [check("latency_ms_p95", limit, p95, low, high, note)]


def report(measured: Measured, dataset: str, checks: Sequence[GateCheck]) -> GateReport:
    """The gate's report on one head."""
    return GateReport(
        head=measured.head.digest(),
        dataset=dataset,
        checks=tuple(checks),
        metrics=dict(measured.metrics.values),
        intervals=dict(measured.metrics.intervals),
    )
