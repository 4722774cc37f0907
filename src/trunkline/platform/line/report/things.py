"""Pictures of a detect model's report: truth on the left, what the model says on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trunkline.algorithms.heads.detect.boxes import matched
from trunkline.core.drawing import Mark, drawn
from trunkline.core.types.dataset import Boxed
from trunkline.platform.line.report.words import plural

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Things
    from trunkline.platform.line.gate import Measured

_GAP = 4


@dataclass(frozen=True)
class Compared:
    """What a model says of a test picture, beside what is in it.

    Attributes:
        row: The picture's row among the test pictures.
        found, missed, false: Things that were found, those that were not, and boxes on nothing.
        score: Of the worst mistake's box, or of the best box.
    """

    row: int
    found: int
    missed: int
    false: int
    score: float

    @property
    def said(self) -> str:
        """In words."""
        parts = [f"{self.found} found"] if self.found or not (self.missed or self.false) else []
        parts += [f"{self.missed} missed"] if self.missed else []
        parts += [plural(self.false, "false box", "false boxes")] if self.false else []
        return ", ".join(parts)


def compared(measured: Measured) -> list[Compared]:
    """All test pictures, those with the most mistakes first; of equals, those whose false boxes are surest."""
    rows = []
    for row, target in enumerate(measured.targets):
        things = (measured.scores.things or ())[row]
        if isinstance(target, Boxed):
            rows.append(_one(row, measured.head.labels, things, target))
    return sorted(rows, key=lambda one: (-(one.missed + one.false), -one.score, one.row))


def _one(row: int, labels: tuple[str, ...], things: Things, target: Boxed) -> Compared:
    taken = things.accepted
    truth = np.array([(b.x1, b.y1, b.x2, b.y2) for b in target.shares()], np.float64).reshape(-1, 4)
    named = np.array([labels.index(box.label) if box.label in labels else -1 for box in target.boxes], np.int64)
    right = matched(things.boxes[taken], things.labels[taken], truth, named)
    scores = things.scores[taken]
    wrong = scores[~right]
    score = float(wrong.max()) if len(wrong) else float(scores.max()) if len(scores) else 0.0
    return Compared(row, int(right.sum()), len(truth) - int(right.sum()), int((~right).sum()), score)


def side_by_side(image: Image.Image, labels: tuple[str, ...], target: Boxed, things: Things) -> Image.Image:
    """A picture twice, both parts of the same size.

    Args:
        image: The picture, of any size.
        labels: The head's.
        target: What is in it.
        things: What the model says; what it does not accept is left out.
    """
    scale = (image.width, image.height) * 2

    def placed(box: object) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (float(value) * side for value, side in zip(np.asarray(box), scale, strict=True))
        return x1, y1, x2, y2

    truth = [
        Mark(placed((b.x1, b.y1, b.x2, b.y2)), b.label, labels.index(b.label) if b.label in labels else 6)
        for b in target.shares()
    ]
    said = [
        Mark(placed(box), f"{labels[label]} {score:.2f}", int(label))
        for box, label, score, taken in zip(things.boxes, things.labels, things.scores, things.accepted, strict=True)
        if taken
    ]
    both = Image.new("RGB", (2 * image.width + _GAP, image.height), "white")
    both.paste(drawn(image, truth), (0, 0))
    both.paste(drawn(image, said), (image.width + _GAP, 0))
    return both
