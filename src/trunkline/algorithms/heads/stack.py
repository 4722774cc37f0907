"""Many linear heads as one: their weights below each other, one matrix product, each head's own answers.

A head's answer is the same whether it is asked alone or in a stack, but for the order in which a matrix product of
another width adds up: probabilities agree within 1e-5 (tests/unit/algorithms/heads/test_stack.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard

import numpy as np

from trunkline.algorithms.heads.base import Head, Scores
from trunkline.core.types.head import TrainedHead


class LinearHead(Head, Protocol):
    """A task whose answers follow from logits that are linear in the pooled features."""

    def limits(self, head: TrainedHead) -> np.ndarray:
        """Numbers by which it decides, float32 of shape (m, k): m for each of the k labels."""

    def decide(self, logits: np.ndarray, limits: np.ndarray) -> Scores:
        """Answers from logits of shape (..., k), which `limits` of shape (m, ..., k) broadcast over."""


def is_linear(kind: Head) -> TypeGuard[LinearHead]:
    """Whether heads of a task can be stacked."""
    return hasattr(kind, "decide")


def shape_of(head: TrainedHead) -> tuple[Any, ...]:
    """Heads of the same shape fit into one stack: same task, as many labels, the same features."""
    return head.task, len(head.labels), head.weights["weight"].shape[0], tuple(head.config["channels"])


@dataclass(frozen=True)
class Stack:
    """H heads of k labels each, on d features.

    Arrays hold label after label, and of each label all heads: what follows the product (maxima, sums over a head's few
    labels) then runs along long rows, four times as fast as head after head.

    Attributes:
        kind: Their task.
        channels: As in `FitJob`: by which contrast is taken out of the features.
        weight: Float32 of shape (k, H, d).
        bias: Float32 of shape (k, 1, H).
        limits: Float32 of shape (m, k, H).
    """

    kind: LinearHead
    channels: tuple[int, ...]
    weight: np.ndarray
    bias: np.ndarray
    limits: np.ndarray

    @classmethod
    def of(
        cls,
        kind: LinearHead,
        heads: Sequence[TrainedHead],
        *,
        empty: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    ) -> Stack:
        """Stack heads of one shape.

        Args:
            kind: Their task.
            heads: The heads.
            empty: Makes the float32 array that holds the weights; in memory when not given.

        Raises:
            ValueError: When two are of different shapes.
        """
        shapes = {shape_of(head) for head in heads}
        if len(shapes) != 1:
            raise ValueError(f"expected heads of one shape, got {sorted(map(str, shapes))}")
        (_, k, width, channels) = shapes.pop()
        shape = (k, len(heads), width)
        weight = empty(shape) if empty else np.empty(shape, np.float32)
        bias = np.empty((k, 1, len(heads)), np.float32)
        for number, head in enumerate(heads):
            temperature = np.float32(head.calibration["temperature"])
            weight[:, number] = head.weights["weight"].T / temperature
            bias[:, 0, number] = head.weights["bias"] / temperature
        return cls(kind, channels, weight, bias, np.stack([kind.limits(head) for head in heads], axis=-1))

    def __len__(self) -> int:
        return int(self.weight.shape[1])

    def thin(self, number: int, head: TrainedHead) -> TrainedHead:
        """The head whose weights are a view into the stack, so that they are held once."""
        calibration = {**head.calibration, "temperature": 1.0}
        weights = {"weight": self.weight[:, number].T, "bias": self.bias[:, 0, number]}
        return replace(head, weights=weights, calibration=calibration)

    def answers(self, features: np.ndarray) -> Scores:
        """Answers of all heads on n images.

        Args:
            features: Pooled features without their contrast, float32 of shape (n, d).

        Returns:
            Scores whose arrays are of shape (n, H, k), and `unsure` of shape (n, H).
        """
        logits = np.matmul(features, self.weight.swapaxes(1, 2))
        logits += self.bias
        return self.kind.decide(np.moveaxis(logits, 0, -1), np.moveaxis(self.limits, 1, -1))

    def take(self, heads: Sequence[int]) -> Stack:
        """Some of the heads, in the order given; views where they lie one after the other."""
        first, count = heads[0], len(heads)
        in_order = list(heads) == list(range(first, first + count))
        part: Any = slice(first, first + count) if in_order else list(heads)
        return replace(self, weight=self.weight[:, part], bias=self.bias[..., part], limits=self.limits[..., part])
