"""The gate: a packed head, measured through the inference path on test images that it never saw.

A limit is met by the value. Where the 95 % interval of the value straddles the limit, the evidence is thin and the
report says so: more test images would be needed to be sure either way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trunkline.algorithms.metrics import Metrics, evaluate
from trunkline.algorithms.metrics.intervals import newcombe_paired, quantiles, resampled_weights
from trunkline.core.types.dataset import Boxed
from trunkline.core.types.gate import NOT_MEASURED, PRIMARY, GateCheck, GateReport, said
from trunkline.core.types.scenario import MACHINE_GATES, Limit, Scenario
from trunkline.platform.engine.fleet import score

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores
    from trunkline.core.types.dataset import Truth
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead

_RESAMPLES = 1000
_BLOCK = 1 << 20  # images that are drawn at once: a block of weights is 4 MB
_MUTE = "the model is unsure of every test image: it answers none of them itself; add pictures that show the difference"


@dataclass(frozen=True)
class Measured:
    """A head's answers on a test set, with the metrics."""

    head: TrainedHead
    scores: Scores
    targets: tuple[Truth, ...]
    metrics: Metrics


def measure(head: TrainedHead, table: FeatureTable, targets: Sequence[Truth]) -> Measured:
    """Run a head on its test rows and score the answers.

    Args:
        head: The head, as read back from its packed bundle.
        table: Features of the n test images.
        targets: What is true of each of the n test images.
    """
    scores = score(head, table)
    metrics = evaluate(head.task, head.labels, scores, tuple(targets))
    return Measured(head, scores, tuple(targets), metrics)


def compare_paired(challenger: Measured, champion: Measured) -> tuple[float, float, float]:
    """Challenger's primary figure less the champion's on the same images, with a 95 % interval.

    Shares of right answers have Newcombe's score interval for paired proportions, other figures a paired bootstrap over
    images (Efron & Tibshirani 1993, ch. 13), seeded.

    Returns:
        difference, low, high; NaN where the figure could not be measured.
    """
    import numpy as np

    name = PRIMARY[challenger.head.task]
    difference = challenger.metrics.values[name] - champion.metrics.values[name]
    if math.isnan(difference):
        return difference, difference, difference
    if challenger.head.task == "classify":
        return difference, *_paired(_right(challenger), _right(champion))
    new, old, strata = _primary(challenger), _primary(champion), _strata(challenger)
    most = max(1, _BLOCK // len(strata))
    sizes = [min(most, _RESAMPLES - start) for start in range(0, _RESAMPLES, most)]
    blocks = (resampled_weights(strata, size, seed) for seed, size in enumerate(sizes))
    drawn = np.concatenate([new(weights) - old(weights) for weights in blocks])
    return difference, *quantiles(drawn[np.isfinite(drawn)], difference)


def _paired(challenger: np.ndarray, champion: np.ndarray) -> tuple[float, float]:
    """Interval of the difference of two shares of the same n images, bool arrays of shape (n,)."""
    pairs = (challenger & champion, challenger & ~champion, ~challenger & champion, ~challenger & ~champion)
    return newcombe_paired(*(int(pair.sum()) for pair in pairs))


def _right(measured: Measured) -> np.ndarray:
    """Whether the first answer is among the image's labels, for n images."""
    import numpy as np

    best = measured.scores.probabilities.argmax(axis=1)
    return np.array([measured.head.labels[b] in t for b, t in zip(best, measured.targets, strict=True)], dtype=bool)


def _flawed(measured: Measured) -> np.ndarray:
    """Whether each of n images is flawed, for `anomaly`."""
    import numpy as np

    return np.array([measured.head.labels[1] in target for target in measured.targets], bool)


def _strata(measured: Measured) -> np.ndarray:
    """Which of n images are drawn from each other: for `anomaly`, good and flawed ones keep their numbers."""
    import numpy as np

    return _flawed(measured) if measured.head.task == "anomaly" else np.zeros(len(measured.targets), bool)


def _primary(measured: Measured) -> Callable[[np.ndarray], np.ndarray]:
    """The primary figure by itself, for rows of how often each image counts: whole evaluations would take seconds."""
    import numpy as np

    from trunkline.algorithms.metrics.multilabel import f1_macro
    from trunkline.algorithms.metrics.ranking import auroc

    scores, labels = measured.scores, measured.head.labels
    if measured.head.task == "detect":
        return _map50(measured)
    if measured.head.task == "anomaly":
        flawed, raw = _flawed(measured), scores.probabilities[:, 1] if scores.anomaly is None else scores.anomaly
        return lambda weights: auroc(raw, flawed, weights)
    truth: np.ndarray = np.array([[label in target for label in labels] for target in measured.targets], bool)
    return lambda weights: f1_macro(truth, scores.accepted, weights)


def _map50(measured: Measured) -> Callable[[np.ndarray], np.ndarray]:
    from trunkline.algorithms.metrics.detect import Ranked, map50

    boxed = [target for target in measured.targets if isinstance(target, Boxed)]
    ranked = Ranked.of(measured.head.labels, measured.scores.things or (), boxed)
    return lambda weights: map50(ranked, weights)


def check(name: str, limit: Limit, value: float, low: float, high: float, note: str = "") -> GateCheck:
    """One figure against its limit; one that could not be measured (NaN) does not pass, and the note says so."""
    straddles = limit.holds(low) != limit.holds(high)
    if math.isnan(value):
        note = f"{NOT_MEASURED}: {note}" if note else NOT_MEASURED
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
    """The checks on answers; those on machine figures are made by the caller, who holds the figures.

    A model that is unsure of every test image gives no answer of its own: it passes none of them, however right its
    answers would have been.
    """
    checks = []
    mute = bool(measured.scores.unsure.all())
    for name in scenario.gates:
        limit = scenario.limit(name)
        if limit is None or name in MACHINE_GATES:
            continue
        value = measured.metrics.values[name]
        low, high = measured.metrics.intervals.get(name, (value, value))
        made = check(name, limit, value, low, high, measured.metrics.notes.get(name, ""))
        checks.append(replace(made, verdict="failed", note=_MUTE) if mute and name != "unsure_rate" else made)
    return checks


def champion_check(challenger: Measured, champion: Measured, reference: str) -> GateCheck:
    """No-worse-than-champion, both measured on the champion's own frozen test set."""
    name = PRIMARY[challenger.head.task]
    if challenger.head.task == "anomaly" and not _flawed(challenger).any():
        return _by_rejects(challenger, champion, reference)
    difference, low, high = compare_paired(challenger, champion)
    before, now = champion.metrics.values[name], challenger.metrics.values[name]
    verdict = "passed" if difference >= 0 else "failed"
    note = f"{name} {said(now)} against {said(before)} of {reference} on its {len(champion.targets)} frozen test images"
    if math.isnan(difference):
        note += f"; {challenger.metrics.notes.get(name, NOT_MEASURED)}"
    return GateCheck(
        name="champion",
        value=difference,
        low=low,
        high=high,
        limit="no-worse",
        verdict=verdict,  # type: ignore[arg-type]
        evidence="thin" if low < 0 <= high or low == high else "ok",
        note=note,
    )


def _by_rejects(challenger: Measured, champion: Measured, reference: str) -> GateCheck:
    """Where no faulty image is there to be found, the model that refuses fewer good ones is no worse."""
    name = "false_reject_rate"
    before, now = champion.metrics.values[name], challenger.metrics.values[name]
    low, high = _paired(challenger.scores.accepted[:, 0], champion.scores.accepted[:, 0])
    return GateCheck(
        name="champion",
        value=before - now,
        low=low,
        high=high,
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
