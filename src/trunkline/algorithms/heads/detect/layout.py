"""Where a detect head looks: its levels, and the points on them.

A level is a grid of points over the trunk's input. The finest level may be coarser than the finest tap; the taps that
are finer are folded into it, so that nothing of them is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Levels on the taps of a trunk.

    Attributes:
        side: Height and width of the trunk's input, pixels.
        channels: Channels of each tap, finest first.
        strides: Input pixels a position of each tap.
        finest: Stride of the finest level; one of the taps'.
    """

    side: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    finest: int

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.strides) or self.finest not in self.strides:
            raise ValueError(
                f"expected a stride for each tap and a finest level among them, got channels {self.channels}, strides "
                f"{self.strides}, finest {self.finest}"
            )
        if any(self.side % stride or stride % self.strides[0] for stride in self.strides):
            raise ValueError(f"expected strides that divide {self.side} and each other, got {self.strides}")

    @property
    def levels(self) -> tuple[int, ...]:
        """Strides of the levels, finest first."""
        return tuple(stride for stride in self.strides if stride >= self.finest)

    @property
    def folded(self) -> tuple[int, ...]:
        """Taps that go into the finest level besides its own, by place."""
        return tuple(place for place, stride in enumerate(self.strides) if stride < self.finest)

    def inputs(self, level: int) -> int:
        """Channels that come into a level: its tap's, and of the finest level those of the taps folded into it."""
        own = self.channels[self.strides.index(self.levels[level])]
        if level:
            return own
        return own + sum(self.channels[tap] * (self.finest // self.strides[tap]) ** 2 for tap in self.folded)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of all points in input pixels, float32 of shape (p, 2), and their levels' strides, shape (p,)."""
        centres, strides = [], []
        for stride in self.levels:
            along = (np.arange(self.side // stride, dtype=np.float32) + 0.5) * stride
            y, x = np.meshgrid(along, along, indexing="ij")
            centres.append(np.stack([x, y], axis=-1).reshape(-1, 2))
            strides.append(np.full(len(centres[-1]), stride, np.float32))
        return np.concatenate(centres), np.concatenate(strides)

    def to_json(self) -> dict[str, Any]:
        return {
            "side": self.side, "channels": list(self.channels), "strides": list(self.strides), "finest": self.finest,
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Layout:
        def numbers(name: str) -> tuple[int, ...]:
            values: Sequence[Any] = row[name]
            return tuple(int(value) for value in values)

        return cls(int(row["side"]), numbers("channels"), numbers("strides"), int(row["finest"]))
