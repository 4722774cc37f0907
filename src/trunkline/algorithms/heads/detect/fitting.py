"""Fitting a detect head: the network, then its calibration on pictures that it never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trunkline.algorithms.heads import learning
from trunkline.algorithms.heads.base import FitJob, Fitted
from trunkline.algorithms.heads.detect.boxes import matched
from trunkline.algorithms.heads.detect.layout import Layout
from trunkline.algorithms.heads.detect.loss import Loss, Truth
from trunkline.algorithms.heads.detect.network import Network, folded
from trunkline.core.errors import DataError
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.view import View

if TYPE_CHECKING:
    from trunkline.algorithms.heads.detect import Detect
    from trunkline.core.types.features import FeatureTable

_HELD_OUT, _FEWEST, _MOST = 0.1, 8, 200
"""Share of the training pictures that calibrate, and how many at the least and at the most."""
_SEEN = 0.4  # share of a box that must be inside a view, for it to be taught there
_UNSURE = 0.1  # share of held-out pictures that the band of unsure takes
_STATISTICS = 64  # pictures by which maps are made comparable
_IN_MEMORY = 3 << 30  # bytes of maps, in float16, that are kept in memory; above, they are read at each step


def fit_detect(kind: Detect, job: FitJob) -> Fitted:
    """Fit one head.

    Args:
        kind: The head's kind.
        job: With boxes, and a plan.

    Raises:
        DataError: When there are no boxes to learn from.
    """
    if not any(job.boxes):
        raise DataError("expected boxes to learn from, got none", where=job.name)
    plan = job.plan
    layout = Layout(plan["side"], job.channels, job.strides, plan["finest"])
    by_content = np.argsort(np.array(job.table.images), kind="stable")  # the order of the rows changes nothing
    learn, held = (by_content[np.isin(by_content, rows)] for rows in _parted(job))
    views = [_Seen(view, job, kind.dense) for view in map(View, range(plan["views"]))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        network = _network(layout, job, views[0], learn)
    loss = Loss(network, torch.from_numpy(_weights(job, learn)))

    def step(rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        drawn = rng.integers(0, len(views), len(rows))
        pairs = [(views[view], int(learn[row])) for view, row in zip(drawn, rows, strict=True)]
        maps = {tap: torch.stack([view.map(tap, row) for view, row in pairs]).float() for tap in kind.dense}
        return loss(network(_last(maps)), _truth([view.boxes(row) for view, row in pairs], layout.side))

    network.to(memory_format=torch.channels_last)
    recipe = learning.Recipe(
        plan["epochs"], batch=min(plan["batch"], max(1, len(learn))), rate=plan["rate"], seed=job.seed,
        threads=job.threads,
    )  # fmt: skip
    fitted = learning.fit(network, step, len(learn), recipe, name=job.name, progress=job.progress, say=job.say)
    head = TrainedHead(
        task=kind.task,
        labels=job.labels,
        trunk=job.table.trunk,
        weights={name: array.astype(np.float16) for name, array in folded(fitted).items()},
        config={
            "rung": "dense",
            "layout": layout.to_json(),
            "depth": plan["depth"],
            "suppression": {"overlap": plan["overlap"], "soft": plan["soft"], "least": 0.01},
        },
        thresholds=dict.fromkeys(job.labels, 0.5),
        unsure=dict.fromkeys(job.labels, (0.5, 0.5)),
        calibration={"slope": 1.0, "offset": 0.0},
    )
    return _calibrated(kind, head, job, held)


def _parted(job: FitJob) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, and rows that calibrate; near-duplicates stay together.

    Where there are too few pictures to put some aside, all are learned from and calibrate as well.
    """
    count = len(job.boxes)
    wanted = min(_MOST, max(_FEWEST, round(_HELD_OUT * count)))
    everything = np.arange(count)
    if count < 4 * _FEWEST:
        return everything, everything
    held: list[int] = []
    for group in np.random.default_rng(job.seed).permutation(np.unique(job.groups)):
        rows = np.flatnonzero(job.groups == group)
        if len(held) + len(rows) <= wanted:
            held += rows.tolist()
        if len(held) == wanted:
            break
    learn = np.setdiff1d(everything, held)
    if not held or not any(job.boxes[row] for row in held) or not any(job.boxes[row] for row in learn):
        return everything, everything
    return learn, np.array(sorted(held))


class _Seen:
    """The training pictures in one view: maps and boxes."""

    def __init__(self, view: View, job: FitJob, taps: Sequence[str]) -> None:
        self._table: FeatureTable = job.seen(view)
        self._windows = [view.window(image) for image in job.table.images]
        self._job = job
        self.taps = tuple(taps)
        self._index = {label: number for number, label in enumerate(job.labels)}
        self._maps: dict[str, Any] = {tap: self._table.dense[tap] for tap in taps}
        size = sum(2 * math.prod(maps.shape) for maps in self._maps.values())
        if size <= _IN_MEMORY / max(1, job.plan["views"]):
            self._maps = {tap: _halves(maps) for tap, maps in self._maps.items()}

    def map(self, tap: str, row: int) -> torch.Tensor:
        """One tap's map of a picture."""
        return torch.from_numpy(np.asarray(self._maps[tap][row]))

    def boxes(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of a picture as the view shows them, in shares, shape (m, 4), and their labels (m,)."""
        window, found, labels = self._windows[row], [], []
        for box in self._job.boxes[row]:
            whole = np.array(window.box(box.x1, box.y1, box.x2, box.y2))
            inside = np.clip(whole, 0.0, 1.0)
            if _area(inside) >= _SEEN * _area(whole):
                found.append(inside)
                labels.append(self._index[box.label])
        return np.array(found, np.float32).reshape(-1, 4), np.array(labels, np.int64)


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0))


def _halves(maps: Any) -> np.ndarray:
    """Maps in memory, in float16, read a few at a time."""
    out: np.ndarray = np.empty(maps.shape, np.float16)
    for start in range(0, len(out), _STATISTICS):
        rows = np.arange(start, min(start + _STATISTICS, len(out)))
        out[rows] = maps[rows]
    return out


def _network(layout: Layout, job: FitJob, seen: _Seen, learn: np.ndarray) -> Network:
    """A fresh network whose maps are made comparable by what they are on some pictures."""
    rows = learn[np.linspace(0, len(learn) - 1, min(_STATISTICS, len(learn))).astype(int)]
    mean: dict[str, np.ndarray] = {}
    std: dict[str, np.ndarray] = {}
    for tap in seen.taps:
        maps = np.stack([np.asarray(seen.map(tap, int(row)), np.float32) for row in rows])
        mean[tap], std[tap] = maps.mean((0, 2, 3)), maps.std((0, 2, 3)) + 1e-3
    plan = job.plan
    return Network(
        layout, len(job.labels), width=plan["width"], depth=plan["depth"], kernel=plan["kernel"], mean=mean, std=std
    )


def _weights(job: FitJob, learn: np.ndarray) -> np.ndarray:
    """What a box of each label counts: the rarer it is, the more, within a factor of three; 1 on average."""
    counts = np.zeros(len(job.labels))
    index = {label: number for number, label in enumerate(job.labels)}
    for row in learn:
        for box in job.boxes[row]:
            counts[index[box.label]] += 1
    counts = np.maximum(counts, 1)
    weights = np.clip(np.sqrt(counts.mean() / counts), 1 / 3, 3)
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), np.float32)


def _last(maps: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With channels last in memory, where convolutions of few channels are faster."""
    return {tap: x.contiguous(memory_format=torch.channels_last) for tap, x in maps.items()}


def _truth(found: Sequence[tuple[np.ndarray, np.ndarray]], side: int) -> Truth:
    most = max(1, *(len(boxes) for boxes, _ in found))
    boxes, labels = np.zeros((len(found), most, 4), np.float32), np.zeros((len(found), most), np.int64)
    there = np.zeros((len(found), most), bool)
    for row, (own, named) in enumerate(found):
        boxes[row, : len(own)], labels[row, : len(own)], there[row, : len(own)] = own * side, named, True
    return Truth(*(torch.from_numpy(part) for part in (boxes, labels, there)))


@dataclass(frozen=True)
class _Judged:
    """Boxes that were found in held-out pictures.

    Attributes:
        rows: Their pictures.
        labels: Their labels.
        scores: Uncalibrated.
        right: Whether they lie on a thing that no better box lies on.
    """

    rows: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray


def _judged(kind: Detect, head: TrainedHead, job: FitJob, held: np.ndarray) -> tuple[_Judged, np.ndarray]:
    """What is found in held-out pictures, and how many things of each label are there."""
    found = kind.predict(head, job.table.take(held.tolist())).things or ()
    index = {label: number for number, label in enumerate(job.labels)}
    rows, labels, scores, right = [], [], [], []
    there = np.zeros(len(job.labels), np.int64)
    for row, things in zip(held, found, strict=True):
        own = np.array([(box.x1, box.y1, box.x2, box.y2) for box in job.boxes[row]], np.float32).reshape(-1, 4)
        names = np.array([index[box.label] for box in job.boxes[row]], np.int64)
        np.add.at(there, names, 1)
        rows += [row] * len(things.scores)
        labels += things.labels.tolist()
        scores += things.scores.tolist()
        right += matched(things.boxes, things.labels, own, names).tolist()
    return _Judged(np.array(rows), np.array(labels, np.int64), np.array(scores), np.array(right, bool)), there


def _calibrated(kind: Detect, head: TrainedHead, job: FitJob, held: np.ndarray) -> Fitted:
    """The head with probabilities, thresholds and a band of unsure, all from held-out pictures."""
    from dataclasses import replace

    from trunkline.algorithms.heads.detect import calibrated

    judged, there = _judged(kind, head, job, held)
    slope, offset = _logistic(judged.scores, judged.right)
    p = calibrated(judged.scores, slope, offset)
    thresholds = {
        label: _threshold(p[judged.labels == number], judged.right[judged.labels == number], there[number], job)
        for number, label in enumerate(job.labels)
    }
    limits = np.array([thresholds[label] for label in job.labels])
    factor = _band(p, limits[judged.labels] if len(p) else p, judged.rows, len(held))
    made = replace(
        head,
        thresholds=thresholds,
        unsure={label: (factor * value, value) for label, value in thresholds.items()},
        calibration={"slope": slope, "offset": offset},
    )
    scores = np.full((len(job.boxes), len(job.labels)), np.nan, np.float32)
    scores[held] = kind.predict(made, job.table.take(held.tolist())).probabilities
    taken = p >= (limits[judged.labels] if len(p) else p)
    detail = {
        "held_out_images": len(held),
        "held_out_things": int(there.sum()),
        "held_out_recall": float((judged.right & taken).sum() / max(1, there.sum())),
        "held_out_precision": float((judged.right & taken).sum() / max(1, taken.sum())),
    }
    return Fitted(made, scores, detail)


def _logistic(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic on the scores' logits (Platt, 1999, smoothed targets), by Newton steps."""
    if not len(scores):
        return 1.0, 0.0
    clipped = np.clip(scores, 1e-9, 1 - 1e-9)
    z = np.log(clipped / (1 - clipped))
    good, bad = int(right.sum()), int((~right).sum())
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))
    design = np.stack([z, np.ones_like(z)], axis=1)
    theta, prior = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -60, 60)))
        gradient = design.T @ (p - target) + (theta - prior)
        hessian = (design.T * np.maximum(p * (1 - p), 1e-6)) @ design + np.eye(2)
        move = np.linalg.solve(hessian, gradient)
        theta = theta - np.clip(move, -1, 1)
        if np.abs(move).max() < 1e-6:
            break
    return max(float(theta[0]), 1e-3), float(theta[1])


def _threshold(p: np.ndarray, right: np.ndarray, there: int, job: FitJob) -> float:
    """Threshold of one label, half way between two neighbouring scores; see the package."""
    point = job.operating_point
    if not len(p) or not there:
        return 0.5
    order = np.argsort(-p, kind="stable")
    values, hits = p[order], np.cumsum(right[order])
    recall, precision = hits / there, hits / np.arange(1, len(hits) + 1)
    wanted = point.recall if point.false_reject_rate is None else 1 - point.false_reject_rate
    clean = point.precision if point.false_accept_rate is None else 1 - point.false_accept_rate
    if wanted is not None:
        enough = np.flatnonzero(recall >= wanted - 1e-9)
        last = int(enough[0]) if len(enough) else len(values) - 1
    elif clean is not None:
        enough = np.flatnonzero(precision >= clean - 1e-9)
        last = int(enough[-1]) if len(enough) else 0
    else:
        last = int(np.argmax(2 * hits / (np.arange(1, len(hits) + 1) + there)))
    below = values[last + 1] if last + 1 < len(values) else 0.0
    return float(np.clip((values[last] + below) / 2, 1e-6, 1 - 1e-6))


def _band(p: np.ndarray, limits: np.ndarray, rows: np.ndarray, pictures: int) -> float:
    """Share of a threshold from which on a box that is not accepted makes its picture unsure."""
    under = p < limits
    if not under.any():
        return 1.0
    near: dict[int, float] = {}
    for row, share in zip(rows[under].tolist(), (p[under] / limits[under]).tolist(), strict=True):
        near[row] = max(near.get(row, 0.0), share)
    ranked = sorted(near.values(), reverse=True)
    most = max(1, round(_UNSURE * pictures))
    return float(min(1.0, ranked[min(most, len(ranked)) - 1]))
