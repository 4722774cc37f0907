"""Answers on whole images as things in them, so that what holds for every task can be tried on boxes too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.algorithms.heads.base import Things
from trunkline.core.types.dataset import Box, Boxed

_SIDE = 100


def _corners(number: int) -> tuple[float, float, float, float]:
    """A place for each label, apart from the others'."""
    return number / 10, 0.0, (number + 1) / 10, 0.2


def things(table: np.ndarray) -> tuple[Things, ...]:
    """A box for each label that is not ruled out, at its place; accepted from one half on."""
    made = []
    for row in np.asarray(table, np.float64):
        labels = np.array([n for n in np.argsort(-row, kind="stable") if row[n] > 0], int)
        boxes = np.array([_corners(int(n)) for n in labels]).reshape(-1, 4)
        made.append(Things(boxes, labels, row[labels], row[labels] >= 0.5))
    return tuple(made)


def truth(labels: Sequence[str], targets: Sequence[Sequence[str]]) -> tuple[Boxed, ...]:
    """A thing for each label that an image has."""
    return tuple(
        Boxed(_SIDE, _SIDE, tuple(Box(name, *(_SIDE * at for at in _corners(labels.index(name)))) for name in target))
        for target in targets
    )
