"""Good or not: patches that are far from all good ones (after PatchCore, Roth et al., CVPR 2022).

Learns from good images alone; labelled faulty ones, where there are any, go into the threshold and the calibration.
An image's score is the mean of the strangest fiftieth of its heat map. It is an anomaly at or over the threshold, which
comes from the operating point, on scores of training images that are held out (a good image is scored without its own
patches and those of its near-duplicates):

- `false_reject_rate` r: at most r of good images are refused. Where there are too few good images to count that, the
  tail of their scores is taken as exponential (peaks over threshold: Pickands, 1975).
- `recall` r: at least r of faulty images are found; `false_accept_rate` r is `recall` 1 - r.
- `precision` p: of the images refused, at least p are faulty.
- none: with faulty images, the best balanced accuracy; without, `false_reject_rate: 0.01`.

What needs faulty images falls back to `false_reject_rate: 0.01` when there are none, and the fit's detail says so.
Probabilities are a logistic of the score. Where there are faulty images it is fitted to the labels, both kinds weighing
the same; without, nothing can be known of how likely a fault is, so the threshold stands at 0.5 and the median good
image at 0.02. An image is `unsure` where held-out good and faulty scores overlap, or, without faulty ones, between the
thresholds for 3 r and r / 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import FitJob, Fitted, Scores
from trunkline.algorithms.heads.patches import Memory, distance_maps, image_scores, remember
from trunkline.core.errors import DataError
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import OperatingPoint

LABELS = ("good", "anomaly")
DEFAULT_REJECT = 0.01
_TAIL = 0.2  # share of good scores that the tail is fitted to
_MEDIAN_GOOD = 0.02
_OVERLAP = 0.02
_ENOUGH_TO_COUNT = 5


class Anomaly:
    """A bounded bank of good patches, one threshold, and a logistic calibration."""

    task = "anomaly"
    dense: tuple[str, ...] = ("tap0", "tap1")

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        """Fit each job by itself: its cost is its own patches.

        Raises:
            DataError: When a job has fewer than two groups of good images.
        """
        return [self._fit(job) for job in jobs]

    def _fit(self, job: FitJob) -> Fitted:
        if tuple(job.labels) != LABELS:
            raise ValueError(f"expected the labels {LABELS}, got {job.labels}")
        dense = _dense(job.table)
        faulty = np.array(["anomaly" in target for target in job.targets], bool)
        good = np.nonzero(~faulty)[0]
        if len(np.unique(job.groups[good])) < 2:
            raise DataError(
                f"expected at least 2 good images that are not near-duplicates, got {len(np.unique(job.groups[good]))}",
                where=job.name,
                fix="add images of good parts, or name their label under `labels: {good: [...]}`",
            )
        good = good[np.argsort(np.array(job.table.images)[good], kind="stable")]
        memory = remember(dense, good, job.seed)
        left_out = [~faulty[row] & (job.groups[memory.owners] == job.groups[row]) for row in range(len(faulty))]
        raw = image_scores(distance_maps(dense, memory, left_out))
        cut, (low, high), note = operating_threshold(raw[~faulty], raw[faulty], job.operating_point)
        slope, offset = _calibration(raw[~faulty], raw[faulty], cut)
        threshold, *band = (_probability(np.array([x]), slope, offset)[0] for x in (cut, low, high))
        head = TrainedHead(
            task=self.task,
            labels=job.labels,
            trunk=job.table.trunk,
            weights={"projection": memory.projection, "offset": memory.offset, "bank": memory.bank},
            config={"rung": "memory-bank", "cut": cut, "band": [low, high], "good": len(good)},
            thresholds={"good": float(1 - threshold), "anomaly": float(threshold)},
            unsure={"good": (float(1 - band[1]), float(1 - band[0])), "anomaly": (float(band[0]), float(band[1]))},
            calibration={"slope": slope, "offset": offset},
        )
        p = _probability(raw, slope, offset)
        detail = {"patches": len(memory.bank), "cv_false_reject_rate": float((raw[~faulty] >= cut).mean())}
        if faulty.any():
            detail["cv_recall"] = float((raw[faulty] >= cut).mean())
        return Fitted(head, np.stack([1 - p, p], axis=1).astype(np.float32), detail | ({"note": note} if note else {}))

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        """Calibrated probabilities of ("good", "anomaly"), and the raw score."""
        raw = image_scores(self._maps(head, table))
        # Decided on the raw score: far from the threshold probabilities round to 0 and 1.
        refused = raw >= head.config["cut"]
        low, high = head.config["band"]
        p = _probability(raw, head.calibration["slope"], head.calibration["offset"])
        return Scores(
            probabilities=np.stack([1 - p, p], axis=1).astype(np.float32),
            accepted=np.stack([~refused, refused], axis=1),
            unsure=(raw >= low) & (raw < high),
            anomaly=raw.astype(np.float32),
        )

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        """Distance from good patches by place, less the threshold: above zero somewhere where the image is refused."""
        over = self._maps(head, table) - np.float32(head.config["cut"])
        return np.asarray(-over if label == "good" else over)

    @staticmethod
    def _maps(head: TrainedHead, table: FeatureTable) -> np.ndarray:
        weights = head.weights
        memory = Memory(weights["projection"], weights["offset"], weights["bank"], np.zeros(0, np.int64))
        return distance_maps(_dense(table), memory)


def _dense(table: FeatureTable) -> dict[str, np.ndarray]:
    if not table.dense:
        raise ValueError("expected dense maps in the feature table, got pooled features only")
    return dict(table.dense)


def _probability(raw: np.ndarray, slope: float, offset: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * raw + offset, -60, 60))))


def tail_quantile(good: np.ndarray, rate: float) -> float:
    """Score that a share `rate` of good images reaches.

    Counted where at least five of the images are beyond it, else from an exponential tail over the highest fifth.

    Args:
        good: Held-out scores of good images, shape (n,).
        rate: Share, 0..1.
    """
    if rate >= _TAIL or rate * len(good) >= _ENOUGH_TO_COUNT:
        return float(np.quantile(good, 1 - rate))
    start = float(np.quantile(good, 1 - _TAIL))
    excess = float(np.mean(np.maximum(good[good >= start] - start, 0)))
    return start + max(excess, 1e-6 * max(start, 1.0)) * float(np.log(_TAIL / max(rate, 1e-6)))


def operating_threshold(
    good: np.ndarray, faulty: np.ndarray, point: OperatingPoint
) -> tuple[float, tuple[float, float], str]:
    """Threshold on the raw score, the band that is unsure, and a note ("" or what could not be done).

    Args:
        good: Held-out scores of good images, shape (n,).
        faulty: Scores of faulty images, shape (m,), m may be 0.
        point: The operating point; see the module.
    """
    rate = point.false_reject_rate
    if not len(faulty):
        asked = next((name for name in type(point).model_fields if getattr(point, name) is not None), None)
        note = ""
        if asked not in (None, "false_reject_rate"):
            note = f"{asked} needs faulty images and there are none: false_reject_rate {DEFAULT_REJECT} is held instead"
        rate = DEFAULT_REJECT if rate is None else rate
        cut = tail_quantile(good, rate)
        return cut, (tail_quantile(good, min(3 * rate, 0.5)), max(cut, tail_quantile(good, rate / 3))), note
    cut = tail_quantile(good, rate) if rate is not None else _separating(good, faulty, point)
    low, high = float(np.quantile(faulty, _OVERLAP)), float(np.quantile(good, 1 - _OVERLAP))
    return cut, ((min(low, cut), max(high, cut)) if low < high else (cut, cut)), ""


def _separating(good: np.ndarray, faulty: np.ndarray, point: OperatingPoint) -> float:
    """Threshold half way between two neighbouring scores of which the upper is the lowest refused."""
    edges = np.unique(np.concatenate([good, faulty]))
    recall = 1 - np.searchsorted(np.sort(faulty), edges) / len(faulty)
    rejected = 1 - np.searchsorted(np.sort(good), edges) / len(good)
    wanted = point.recall
    if point.false_accept_rate is not None:
        wanted = 1 - point.false_accept_rate
    if wanted is not None:
        chosen = int(np.nonzero(recall >= wanted - 1e-9)[0].max())
    elif point.precision is not None:
        found = recall * len(faulty)
        meets = np.nonzero(found / np.maximum(found + rejected * len(good), 1e-9) >= point.precision)[0]
        chosen = int(meets.min()) if len(meets) else len(edges) - 1
    else:
        chosen = int(np.argmax(recall - rejected))
    below = edges[chosen - 1] if chosen else edges[0] - 1e-6
    return float((edges[chosen] + below) / 2)


def _calibration(good: np.ndarray, faulty: np.ndarray, cut: float) -> tuple[float, float]:
    """Slope and offset of the logistic from the raw score to a probability."""
    if not len(faulty):
        distance = max(cut - float(np.median(good)), 1e-6)
        slope = float(np.log(1 / _MEDIAN_GOOD - 1)) / distance
        return slope, -slope * cut
    scores = np.concatenate([good, faulty])
    centre, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
    z = (scores - centre) / spread
    # Platt (1999): targets a little inside 0 and 1, so that separated scores do not give an infinite slope.
    target = np.concatenate([np.full(len(good), 1 / (len(good) + 2)), np.full(len(faulty), 1 - 1 / (len(faulty) + 2))])
    weight = np.concatenate([np.full(len(good), 0.5 / len(good)), np.full(len(faulty), 0.5 / len(faulty))])
    design = np.stack([z, np.ones_like(z)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(100):
        p = _probability(design @ theta, 1.0, 0.0)
        gradient = design.T @ (weight * (p - target)) + 1e-4 * theta
        # Half the bound of the curvature keeps each step safe without a line search (Boehning, 1992).
        theta = theta - np.linalg.solve(0.25 * (design.T * weight) @ design + 1e-4 * np.eye(2), gradient)
    slope = max(float(theta[0]), 1e-3) / spread
    return slope, float(theta[1]) - slope * centre
