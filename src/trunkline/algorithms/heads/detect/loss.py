"""What a detect network learns from: points are given to boxes by how well they already answer, then scored.

Task-aligned assignment (C. Feng et al., "TOOD", ICCV 2021): of the points inside a box, those count whose score and
overlap together are best, and they are taught how well they do. Overlap by complete IoU (Z. Zheng et al., AAAI 2020),
distances by distribution focal loss (X. Li et al., NeurIPS 2020). Imported by a fit alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trunkline.algorithms.heads.detect.network import BINS, Network

_CLOSEST = 10  # points of one box
_SCORE_POWER, _OVERLAP_POWER = 0.5, 6.0
_OVERLAP_WEIGHT, _DISTANCE_WEIGHT = 7.5, 0.75  # beside the scores' loss, as detectors of this kind have them
_TOGETHER = 64  # boxes of a picture up to which all pictures of a step are looked at in one go
_EPSILON = 1e-7


@dataclass(frozen=True)
class Truth:
    """Boxes of n pictures, those of each first, filled up to m.

    Attributes:
        boxes: x1, y1, x2, y2 in input pixels, shape (n, m, 4).
        labels: Shape (n, m), whole numbers.
        there: Whether it is a box, bool of shape (n, m).
    """

    boxes: Tensor
    labels: Tensor
    there: Tensor


class Loss:
    """The loss of a network.

    Args:
        network: Says where the points are.
        weights: Of the labels, shape (k,): rare ones count more.
    """

    def __init__(self, network: Network, weights: Tensor) -> None:
        self.network = network
        self.weights = weights
        centres, strides = network.layout.points()
        self.centres, self.strides = torch.from_numpy(centres), torch.from_numpy(strides)[:, None]

    def __call__(self, out: tuple[Tensor, Tensor], truth: Truth) -> Tensor:
        """The loss of n pictures.

        Args:
            out: What the network gives.
            truth: Their boxes.
        """
        logits, raw = (part.float() for part in out)
        boxes = self._boxes(self.network.distances(raw))
        taken, of_box, quality = self._assigned(logits.detach().sigmoid(), boxes.detach(), truth)
        target = torch.zeros_like(logits)
        labels = truth.labels.gather(1, of_box)
        target.scatter_(2, labels[:, :, None], (quality * taken)[:, :, None])
        weight = torch.where(taken, self.weights[labels], torch.ones_like(quality))
        total = (quality * taken).sum().clamp(min=1.0)
        scores = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        scored = (scores.sum(-1) * weight).sum() / total
        if not taken.any():
            return scored
        right = truth.boxes.gather(1, of_box[:, :, None].expand(-1, -1, 4))[taken]
        share = quality[taken] * weight[taken]
        overlapped = ((1 - complete_iou(boxes[taken], right)) * share).sum() / total
        return scored + _OVERLAP_WEIGHT * overlapped + _DISTANCE_WEIGHT * self._spread(raw, right, taken, share) / total

    def _boxes(self, distances: Tensor) -> Tensor:
        far = distances * self.strides
        return torch.cat([self.centres - far[..., :2], self.centres + far[..., 2:]], -1)

    def _spread(self, raw: Tensor, right: Tensor, taken: Tensor, share: Tensor) -> Tensor:
        """How far the distributions are from the two places round the true distance."""
        centres = self.centres.expand(len(raw), -1, -1)[taken]
        strides = self.strides.expand(len(raw), -1, -1)[taken]
        far = torch.cat([centres - right[:, :2], right[:, 2:] - centres], -1) / strides
        far = far.clamp(0, BINS - 1.01)
        low = far.floor().long()
        logs = raw[taken].log_softmax(-1)
        near = logs.gather(2, low[..., None])[..., 0] * (low + 1 - far)
        next_ = logs.gather(2, low[..., None] + 1)[..., 0] * (far - low)
        return -((near + next_).mean(-1) * share).sum()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _assigned(self, scores: Tensor, boxes: Tensor, truth: Truth) -> tuple[Tensor, Tensor, Tensor]:
        """Which points stand for a box, for which, and how well, each of shape (n, p)."""
        if truth.labels.shape[1] <= _TOGETHER:
            return self._together(scores, boxes, truth)
        parts = []
        for row, there in enumerate(truth.there):  # thousands of boxes in one picture must not be as many in each
            most = max(1, int(there.sum()))
            own = Truth(*(part[row : row + 1, :most] for part in (truth.boxes, truth.labels, truth.there)))
            parts.append(self._together(scores[row : row + 1], boxes[row : row + 1], own))
        taken, of_box, quality = (torch.cat(part) for part in zip(*parts, strict=True))
        return taken, of_box, quality

    def _together(self, scores: Tensor, boxes: Tensor, truth: Truth) -> tuple[Tensor, Tensor, Tensor]:
        low = self.centres - truth.boxes[:, :, None, :2]
        high = truth.boxes[:, :, None, 2:] - self.centres
        inside = (torch.cat([low, high], -1).amin(-1) > 0) & truth.there[:, :, None]
        inside |= self._nearest(truth) & ~inside.any(-1, keepdim=True)
        overlap = iou(truth.boxes[:, :, None], boxes[:, None]).clamp(min=0) * inside
        said = scores.transpose(1, 2).gather(1, truth.labels[:, :, None].expand(-1, -1, scores.shape[1]))
        fit = (said**_SCORE_POWER * overlap**_OVERLAP_POWER + _EPSILON**2) * inside
        best, place = fit.topk(min(_CLOSEST, fit.shape[-1]), -1)
        chosen = torch.zeros_like(inside).scatter_(-1, place, best > 0)
        crowded = chosen.sum(1, keepdim=True) > 1
        first = functional.one_hot((overlap * chosen).argmax(1), truth.boxes.shape[1]).transpose(1, 2).bool()
        chosen = torch.where(crowded, first & chosen, chosen)
        fit, overlap = fit * chosen, overlap * chosen
        strongest = fit.amax(-1, keepdim=True)
        quality = (fit / (strongest + _EPSILON**3) * overlap.amax(-1, keepdim=True)).amax(1)
        return chosen.any(1), chosen.float().argmax(1), quality

    def _nearest(self, truth: Truth) -> Tensor:
        """The point nearest to each box's centre: a box between the points must not go without, shape (n, m, p)."""
        middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
        # A box goes to the level of its size: on a coarser one there may be fewer points than boxes.
        far = ((self.centres - middle[:, :, None]) ** 2).sum(-1) + self.strides[:, 0] ** 2
        nearest = functional.one_hot(far.argmin(-1), len(self.centres)).bool()
        return nearest & truth.there[:, :, None]


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast."""
    low, high = torch.max(first[..., :2], second[..., :2]), torch.min(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common + _EPSILON)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU less what the distance of the centres and the difference of the shapes cost; boxes (n, 4) each."""
    overlap = iou(first, second)
    low, high = torch.min(first[:, :2], second[:, :2]), torch.max(first[:, 2:], second[:, 2:])
    diagonal = ((high - low) ** 2).sum(-1) + _EPSILON
    apart = ((first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) ** 2).sum(-1) / 4
    sides = [boxes[:, 2:] - boxes[:, :2] for boxes in (first, second)]
    angles = [torch.atan(side[:, 0] / (side[:, 1] + _EPSILON)) for side in sides]
    shape = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    with torch.no_grad():
        trade = shape / (1 - overlap + shape + _EPSILON)
    return overlap - apart / diagonal - trade * shape
