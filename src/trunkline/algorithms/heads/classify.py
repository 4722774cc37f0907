"""One label an image: linear on pooled features, with a reject option.

The answer is the label of highest probability. It is `unsure` when that probability is under the label's threshold.
The threshold comes from the operating point, on held-out probabilities:

- `false_reject_rate` r: the share of right answers that are called unsure is at most r.
- `false_accept_rate` r: the share of wrong answers that are not called unsure is at most r.
- `precision` p: of the answers that are not unsure, at least p are right.
- `recall` r: at least r of all images get a right answer that is not unsure (as far as the head can).
- none: as `false_reject_rate: 0.01`, and never under 0.5, where the answer is likelier wrong than right (Chow, 1970).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads import linear
from trunkline.algorithms.heads.base import FitJob, Fitted, Scores, one_hot
from trunkline.algorithms.heads.discriminants import fit_logits
from trunkline.algorithms.heads.ridge import RidgeFit
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import OperatingPoint

DEFAULT = OperatingPoint(false_reject_rate=0.01)
_EVEN_ODDS = 0.5


class Classify:
    """Least squares on one-hot targets, its scores made calibrated logits, with one confidence threshold."""

    task = "classify"
    dense: tuple[str, ...] = ()

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        return [self._finish(job, fit) for job, fit in zip(jobs, linear.fit_linear(jobs), strict=True)]

    def _finish(self, job: FitJob, fit: RidgeFit) -> Fitted:
        targets = one_hot(job.targets, job.labels)
        logits = fit_logits(fit.held_out, targets, job.groups)
        scores = linear.softmax(logits.held_out)
        right = targets[np.arange(len(scores)), scores.argmax(axis=1)] > 0
        threshold = confidence_threshold(scores.max(axis=1), right, job.operating_point)
        head = TrainedHead(
            task=self.task,
            labels=job.labels,
            trunk=job.table.trunk,
            weights={
                "weight": (fit.weights @ logits.matrix).astype(np.float32),
                "bias": (fit.bias @ logits.matrix + logits.offset).astype(np.float32),
            },
            config={"rung": "linear", "ridge": fit.ridge, "channels": list(job.channels)},
            thresholds=dict.fromkeys(job.labels, threshold),
            unsure=dict.fromkeys(job.labels, (0.0, threshold)),
            calibration={"temperature": 1.0},
        )
        detail = {"cv_accuracy": float(right.mean()), "cv_errors": fit.errors}
        return Fitted(head, scores.astype(np.float32), detail)

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        return self.decide(linear.logits_of(head, table), self.limits(head))

    @staticmethod
    def limits(head: TrainedHead) -> np.ndarray:
        return np.array([[head.unsure[label][1] for label in head.labels]], np.float32)

    @staticmethod
    def decide(logits: np.ndarray, limits: np.ndarray) -> Scores:
        scores = linear.softmax(logits)
        best = scores == scores.max(axis=-1, keepdims=True)
        if np.count_nonzero(best) > best[..., 0].size:  # of equal scores the first label's
            best &= np.cumsum(best, axis=-1) == 1
        accepted = best & (scores >= limits[0])
        return Scores(scores, accepted, ~accepted.any(axis=-1))

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        return linear.linear_heatmap(head, table, label, contrast=True)


def confidence_threshold(confidence: np.ndarray, right: np.ndarray, point: OperatingPoint) -> float:
    """Confidence under which an answer is unsure.

    Args:
        confidence: Of n held-out answers, shape (n,).
        right: Whether each is right, shape (n,).
        point: The operating point; see the module.

    Returns:
        A threshold in 0..1, just over the highest confidence that is refused, to six digits.
    """
    if point == OperatingPoint():
        return max(confidence_threshold(confidence, right, DEFAULT), _EVEN_ODDS)
    order = np.argsort(confidence, kind="stable")
    ranked, good = confidence[order], right[order]
    candidates = np.concatenate([[0.0], np.nextafter(ranked, 2, dtype=ranked.dtype)])  # refuse the first 0..n answers
    refused_right = np.concatenate([[0], np.cumsum(good)])
    refused_wrong = np.concatenate([[0], np.cumsum(~good)])
    rights, wrongs = int(good.sum()), int((~good).sum())
    if point.false_reject_rate is not None:
        meets = refused_right <= point.false_reject_rate * max(rights, 1)
        chosen = int(np.nonzero(meets)[0].max())
    elif point.recall is not None:
        meets = (rights - refused_right) >= point.recall * len(right)
        chosen = int(np.nonzero(meets)[0].max()) if meets.any() else 0
    else:
        accepted = np.maximum(rights + wrongs - refused_right - refused_wrong, 1)
        if point.false_accept_rate is not None:
            meets = (wrongs - refused_wrong) <= point.false_accept_rate * max(wrongs, 1)
        else:
            meets = (rights - refused_right) >= (point.precision or 0.0) * accepted
        chosen = int(np.nonzero(meets)[0].min()) if meets.any() else len(right)
    cut = float(np.ceil(candidates[chosen] * 1e6) / 1e6)
    if chosen < len(ranked) and cut > ranked[chosen]:  # two scores closer than six digits
        cut = float(candidates[chosen])
    return min(cut, 0.999999)  # never 1: an answer that is certain is not refused
