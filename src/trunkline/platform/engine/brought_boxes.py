"""From the outputs of a detector that somebody brings to boxes in pixels of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trunkline.core.errors import InputError
from trunkline.core.text import cut
from trunkline.core.types.observation import Prediction

if TYPE_CHECKING:
    import numpy as np

_MOST = 1000  # boxes a picture: the comparison of each with each stays short
_NEAR = 1e-3  # by which scores may leave 0..1 through rounding


@dataclass(frozen=True)
class Outputs:
    """What a graph says of one picture.

    Attributes:
        boxes: (n, 4).
        scores: (n,), or (n, classes).
        classes: (n,), or None where scores are (n, classes).
        count: Boxes that are meant, the first ones; None stands for all.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray | None
    count: np.ndarray | None


@dataclass(frozen=True)
class Rules:
    """How to read them.

    Attributes:
        labels: Labels; empty where one stands for nothing.
        offset: Place among them of class 0.
        order: The order of a box's numbers.
        size: Height and width that the boxes' numbers are parts of: 1, 1 or those of the graph's input.
        threshold: Boxes with a lower score are left out.
        nms: Most that two boxes of one label may overlap; None for no limit.
    """

    labels: Sequence[str]
    offset: int
    order: Literal["yxyx", "xyxy"]
    size: tuple[int, int]
    threshold: float
    nms: float | None


def things(outputs: Outputs, rules: Rules, height: int, width: int) -> tuple[Prediction, ...]:
    """What is seen, by falling score; boxes are clipped to the picture, those outside of it are left out.

    Args:
        outputs: Of one picture.
        rules: How to read them.
        height, width: Of the source picture, pixels.

    Raises:
        InputError: When the outputs do not fit each other, are not finite, or name a class without a label.
    """
    import numpy as np

    boxes, scores, classes = _fitted(outputs)
    kept = np.flatnonzero(scores >= rules.threshold)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:_MOST]
    corners = _pixels(boxes[kept], rules, height, width)
    found = [
        Prediction(label, float(scores[row]), (box[0], box[1], box[2], box[3]))
        for row, box in zip(kept, corners.tolist(), strict=True)
        if (label := _label(float(classes[row]), rules)) and box[0] < box[2] and box[1] < box[3]
    ]
    found.sort(key=lambda thing: (-thing.score, thing.label, thing.box))
    return tuple(found if rules.nms is None else _apart(found, rules.nms))


def _fitted(outputs: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, 4), scores (n,) in 0..1 and classes (n,) of those boxes that are meant."""
    import numpy as np

    boxes, scores, classes = outputs.boxes, outputs.scores, outputs.classes
    _expect(boxes.ndim == 2 and boxes.shape[1] == 4, "boxes of shape (n, 4)", boxes)
    _expect(len(scores) == len(boxes), f"scores of {len(boxes)} boxes", scores)
    if classes is None:
        _expect(scores.ndim == 2 and scores.shape[1] > 0, "scores of each class, (n, classes)", scores)
        classes, scores = scores.argmax(axis=1), scores.max(axis=1)
    _expect(scores.ndim == 1, "one score a box where classes are an output", scores)
    _expect(classes.shape == scores.shape, f"classes of {len(boxes)} boxes", classes)
    if outputs.count is not None:
        _expect(outputs.count.size == 1 and bool(np.isfinite(outputs.count).all()), "one count", outputs.count)
        count = max(round(float(outputs.count.reshape(-1)[0])), 0)
        boxes, scores, classes = boxes[:count], scores[:count], classes[:count]
    if not all(bool(np.isfinite(values).all()) for values in (boxes, scores, classes)):
        raise InputError("the graph gives numbers that are not finite")
    if len(scores) and not -_NEAR <= scores.min() <= scores.max() <= 1 + _NEAR:
        raise InputError(
            f"expected scores in 0..1, the graph gives {scores.min():.3g} to {scores.max():.3g}",
            fix="export it with its last layer (sigmoid or softmax), or name another output",
        )
    return boxes, np.clip(scores, 0, 1), classes


def _expect(fits: bool, what: str, got: np.ndarray) -> None:
    if not fits:
        raise InputError(
            f"expected {what}, the output has the shape {got.shape}", fix="mend `outputs` in the model's card"
        )


def _pixels(boxes: np.ndarray, rules: Rules, height: int, width: int) -> np.ndarray:
    """Boxes as x1, y1, x2, y2 in pixels of the picture, to a hundredth of a pixel, within it."""
    import numpy as np

    places = [1, 0, 3, 2] if rules.order == "yxyx" else [0, 1, 2, 3]
    unit = np.array([width / rules.size[1], height / rules.size[0]] * 2)
    clipped = np.clip(boxes.astype(np.float64)[:, places] * unit, 0, [width, height] * 2)
    return np.asarray(np.round(clipped, 2) + 0.0)  # no -0.0


def _label(number: float, rules: Rules) -> str:
    place = round(number) + rules.offset
    if not 0 <= place < len(rules.labels):
        raise InputError(
            f"the graph says class {cut(f'{number:g}')}, the card has labels for {-rules.offset} to "
            f"{len(rules.labels) - 1 - rules.offset}",
            fix="mend `labels` or `label_offset` in the model's card",
        )
    return rules.labels[place]


def _apart(found: Sequence[Prediction], most: float) -> list[Prediction]:
    """Of things of one label that overlap more than that, the one with the best score."""
    kept: list[Prediction] = []
    for thing in found:
        if all(other.label != thing.label or _overlap(other, thing) <= most for other in kept):
            kept.append(thing)
    return kept


def _overlap(first: Prediction, second: Prediction) -> float:
    """Intersection over union of two boxes."""
    assert first.box and second.box  # noqa: S101 (things have boxes)
    (ax, ay, az, aw), (bx, by, bz, bw) = first.box, second.box
    both = max(0.0, min(az, bz) - max(ax, bx)) * max(0.0, min(aw, bw) - max(ay, by))
    return both / ((az - ax) * (aw - ay) + (bz - bx) * (bw - by) - both)
