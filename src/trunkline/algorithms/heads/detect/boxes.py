"""From a head's raw outputs to boxes: decoding, and non-maximum suppression (NMS) or soft-NMS.

NMS keeps the best of boxes that overlap. Soft-NMS lowers the scores of the others instead (N. Bodla et al., "Soft-NMS:
improving object detection with one line of code", ICCV 2017), so that things in front of each other are both found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 300
"""Boxes of an image at the most."""
RIGHT = 0.5
"""Overlap from which on a box lies on a thing."""
_CANDIDATES = 1_000
"""Boxes that are looked at, the best of all labels."""


@dataclass(frozen=True)
class Suppression:
    """How boxes that overlap are dealt with.

    Attributes:
        overlap: Intersection over union from which on two boxes of one label are of one thing, 0..1.
        soft: Lower the scores of others smoothly instead (Gaussian soft-NMS, this is its sigma); 0: not.
        least: Score under which a box is dropped.
    """

    overlap: float = 0.5
    soft: float = 0.0
    least: float = 0.01


def decoded(distances: np.ndarray, centres: np.ndarray, strides: np.ndarray, side: int) -> np.ndarray:
    """Boxes from what a head says of the way to each of their sides.

    Args:
        distances: Left, top, right and bottom in strides, shape (..., p, 4).
        centres: Of the points, input pixels, shape (p, 2).
        strides: Of the points, shape (p,).
        side: Of the input, pixels.

    Returns:
        x1, y1, x2, y2 as shares of the picture's width and height, within 0..1, shape (..., p, 4).
    """
    far = distances * strides[:, None]
    boxes = np.concatenate([centres - far[..., :2], centres + far[..., 2:]], axis=-1)
    return np.asarray(np.clip(boxes / side, 0.0, 1.0), np.float32)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of n boxes with m others, shape (n, m); boxes are rows x1, y1, x2, y2."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.asarray(common / np.maximum(union, 1e-12))


def suppressed(boxes: np.ndarray, scores: np.ndarray, how: Suppression) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The boxes that stay, by falling score.

    Args:
        boxes: Shape (p, 4).
        scores: Shape (p, k), one a label.
        how: NMS or soft-NMS.

    Returns:
        Boxes of shape (m, 4), their labels (m,) and scores (m,); at most `MOST`.
    """
    order = np.flatnonzero(scores.ravel() >= how.least)
    values = scores.ravel()[order]
    if len(order) > _CANDIDATES:
        best = np.argpartition(values, -_CANDIDATES)[-_CANDIDATES:]
        order, values = order[best], values[best]
    ranked = np.lexsort((order, -values))  # by place where scores are the same: no answer depends on the batch
    order, values = order[ranked], values[ranked]
    points, labels = np.divmod(order, scores.shape[1])
    found, wide = boxes[points], np.all(boxes[points, 2:] > boxes[points, :2], axis=1)
    keep = np.zeros(len(order), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & wide)
        if how.soft:
            values[rows] = _softened(found[rows], values[rows], how.soft)
            keep[rows] = values[rows] >= how.least
        else:
            keep[rows] = _best(found[rows], how.overlap)
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(-values[rows], kind="stable")][:MOST]
    return found[rows], labels[rows], values[rows]


def _best(boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Which of some boxes, by falling score, overlap no better one."""
    matrix = overlaps(boxes, boxes) > overlap
    keep = np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if keep[row]:
            keep[row + 1 :] &= ~matrix[row, row + 1 :]
    return keep


def _softened(boxes: np.ndarray, values: np.ndarray, sigma: float) -> np.ndarray:
    """Scores, each lowered by the better boxes that it overlaps."""
    matrix = np.exp(-(overlaps(boxes, boxes) ** 2) / sigma)
    values, left = values.copy(), np.ones(len(boxes), bool)
    for _ in range(len(boxes)):
        row = int(np.argmax(np.where(left, values, -1.0)))
        left[row] = False
        values[left] *= matrix[row, left]
    return values


def matched(
    boxes: np.ndarray, labels: np.ndarray, truth: np.ndarray, named: np.ndarray, least: float = RIGHT
) -> np.ndarray:
    """Which boxes, by falling score, lie on a thing of their label that no better one lies on.

    Args:
        boxes: Shape (m, 4).
        labels: Shape (m,).
        truth: Boxes of the things, shape (t, 4).
        named: Their labels, shape (t,).
        least: Overlap from which on a box lies on a thing.
    """
    overlap = np.where(labels[:, None] == named[None], overlaps(boxes, truth), 0.0)
    right, free = np.zeros(len(boxes), bool), np.ones(len(truth), bool)
    for row in range(len(boxes)):
        best = np.where(free, overlap[row], 0.0)
        if len(best) and best.max() >= least:
            right[row], free[int(best.argmax())] = True, False
    return right
