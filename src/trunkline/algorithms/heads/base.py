"""What every head is: fitted on features, applied to features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from trunkline.core.types.dataset import Box
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import OperatingPoint
from trunkline.core.types.view import View

_MOST = 1e12  # largest weight and calibration of a head: far beyond what is ever fitted, and float32 bears it


@dataclass(frozen=True)
class FitJob:
    """One head to fit.

    Attributes:
        name: The scenario's name, for messages.
        labels: The label space, in the order of the outputs.
        table: Features of the n training images.
        targets: Labels of each of the n images.
        groups: Near-duplicate group of each image, shape (n,); cross-validation never splits a group.
        operating_point: Where the thresholds are put.
        seed: For everything that is drawn.
        channels: Channels of each tap, in the order in which the pooled features hold their mean, std and max. Heads
            on pooled features use them to take contrast out tap by tap; without, they take it out of the row as one.
        strides: Input pixels a position of each tap; for heads that look at places.
        boxes: Things in each of the n images, as shares of its width and height; empty for tasks without.
        plan: How a head with a network is fitted, as `core.types.plan` has it.
        views: Gives the features of the n images in another view; None: they are only there as they are.
        threads: CPU threads.
        progress: Told of steps done and steps in all.
        say: Told of what a person should know of the fit.
    """

    name: str
    labels: tuple[str, ...]
    table: FeatureTable
    targets: tuple[tuple[str, ...], ...]
    groups: np.ndarray
    operating_point: OperatingPoint = field(default_factory=OperatingPoint)
    seed: int = 0
    channels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    boxes: tuple[tuple[Box, ...], ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    views: Callable[[View], FeatureTable] | None = None
    threads: int = 1
    progress: Callable[[int, int], None] | None = None
    say: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        count = len(self.table.images)
        if len(self.targets) != count or self.groups.shape != (count,):
            raise ValueError(
                f"expected targets and groups of {count} images, got {len(self.targets)} and {self.groups.shape}"
            )
        if self.channels and 3 * sum(self.channels) != self.table.pooled.shape[1]:
            raise ValueError(f"expected taps of {self.table.pooled.shape[1]} / 3 channels in all, got {self.channels}")
        if self.boxes and len(self.boxes) != count:
            raise ValueError(f"expected boxes of {count} images, got those of {len(self.boxes)}")

    def seen(self, view: View) -> FeatureTable:
        """Features of the images in a view.

        Raises:
            ValueError: When they are only there as they are.
        """
        if not view.number:
            return self.table
        if self.views is None:
            raise ValueError(f"expected the view {view.number}, there is none but that of the pictures as they are")
        return self.views(view)


@dataclass(frozen=True)
class Fitted:
    """A fitted head with what cross-validation said of its training images.

    Attributes:
        head: The head.
        cv_scores: Calibrated out-of-fold probabilities, shape (n, labels), rows as in the job; NaN for images that were
            never held out.
        detail: Figures for the report, JSON only.
    """

    head: TrainedHead
    cv_scores: np.ndarray
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Things:
    """What is seen in one image, m things by falling score.

    Attributes:
        boxes: x1, y1, x2, y2 as shares of its width and height, shape (m, 4).
        labels: Places in the head's labels, shape (m,).
        scores: Calibrated, shape (m,).
        accepted: Whether the head stands for them at its operating point, bool of shape (m,).
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    accepted: np.ndarray


@dataclass(frozen=True)
class Scores:
    """A head's answers on n images.

    Attributes:
        probabilities: Calibrated, shape (n, labels), in 0..1.
        accepted: Labels that the head stands for at its operating point, bool of shape (n, labels).
        unsure: Images that a person should look at, bool of shape (n,).
        anomaly: Raw anomaly scores of shape (n,), larger is stranger; None for other tasks.
        things: What is seen in each image, for tasks that look for things; None for others. The arrays above then say
            what the best thing of each label says.
    """

    probabilities: np.ndarray
    accepted: np.ndarray
    unsure: np.ndarray
    anomaly: np.ndarray | None = None
    things: tuple[Things, ...] | None = None

    def take(self, rows: Sequence[int] | np.ndarray) -> Scores:
        """The answers on some rows."""
        return Scores(
            self.probabilities[rows],
            self.accepted[rows],
            self.unsure[rows],
            None if self.anomaly is None else self.anomaly[rows],
            None if self.things is None else tuple(self.things[int(row)] for row in rows),
        )


class Head(Protocol):
    """A task.

    Attributes:
        task: Its name.
        dense: Names of the taps whose maps it needs besides the pooled features.
    """

    task: str
    dense: tuple[str, ...]

    def fit(self, jobs: Sequence[FitJob]) -> list[Fitted]:
        """Fit many heads in one call."""

    def predict(self, head: TrainedHead, table: FeatureTable) -> Scores:
        """Apply a head to n images."""

    def heatmap(self, head: TrainedHead, table: FeatureTable, label: str) -> np.ndarray:
        """Evidence for a label by place, from the dense maps: float32 of shape (n, h, w), above zero speaks for it."""


def check(kind: Head, head: TrainedHead, taps: Mapping[str, tuple[int, int]]) -> None:
    """Make sure that a head answers on the features of a trunk, by asking it about one blank picture.

    Args:
        kind: The task.
        head: The head, which may be from anywhere.
        taps: Channels of the trunk's taps and the side of their maps, by name.

    Raises:
        ValueError: When its weights are of another shape, or something that it needs is missing.
    """
    wanted, channels = (1, len(head.labels)), [count for count, _ in taps.values()]
    shapes = ", ".join(f"{name} {array.shape}" for name, array in sorted(head.weights.items()))
    said = (
        f"expected a {kind.task} head of {wanted[1]} labels on taps of {channels} channels, "
        f"got weights {shapes[:200] or 'none'}"
    )
    try:
        _check_numbers(head)
        dense = {tap: np.zeros((1, taps[tap][0], taps[tap][1], taps[tap][1]), np.float32) for tap in kind.dense}
        table = FeatureTable(("",), np.zeros((1, 3 * sum(channels)), np.float32), head.trunk, dense)
        with np.errstate(all="ignore"):
            scores = kind.predict(head, table)
        fits = scores.probabilities.shape == scores.accepted.shape == wanted and scores.unsure.shape == (1,)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{said} ({type(error).__name__}: {error})"[:500]) from error
    if not fits:
        raise ValueError(said)
    if not np.isfinite(scores.probabilities).all():
        raise ValueError("expected a head that gives finite probabilities")


def _check_numbers(head: TrainedHead) -> None:
    """Refuse numbers that no fit gives, and with which every answer is the same or none.

    A band of which the lower bound is above the upper one is left: there, nothing is unsure.
    """
    for name in ("temperature", "slope"):
        value = head.calibration.get(name, 1.0)
        if not 1 / _MOST <= value <= _MOST:
            raise ValueError(f"expected a {name} from {1 / _MOST:g} to {_MOST:g}, got {value:g}")
    for name, array in head.weights.items():
        if array.size and float(np.abs(array).max()) > _MOST:
            raise ValueError(f"expected weights of at most {_MOST:g}, got larger ones in {name!r}")
    for what, given in (("thresholds", head.thresholds), ("bounds of unsure", head.unsure)):
        if given and set(given) != set(head.labels):
            raise ValueError(f"expected {what} of each label")
        if not all(0 <= value <= 1 for row in given.values() for value in np.atleast_1d(row)):
            raise ValueError(f"expected {what} from 0 to 1")


def one_hot(targets: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """0/1 float32 array of shape (n, labels)."""
    index = {label: column for column, label in enumerate(labels)}
    out = np.zeros((len(targets), len(labels)), np.float32)
    for row, names in enumerate(targets):
        for name in names:
            out[row, index[name]] = 1
    return out
