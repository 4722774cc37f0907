"""trunk -> heads: the features of a data set's images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FeatureTable:
    """Features of n images, row by row.

    Attributes:
        images: Digests of the n images.
        pooled: Float32 array of shape (n, d): mean, standard deviation and maximum of each tap.
        trunk: Digest of the trunk, which covers its preprocessing.
        dense: Maps by tap name, float arrays of shape (n, channels, height, width); empty when not asked for. Large
            ones may be read when rows of them are asked for: take rows, a few at a time.
    """

    images: tuple[str, ...]
    pooled: np.ndarray
    trunk: str
    dense: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.pooled.ndim != 2 or self.pooled.shape[0] != count:
            raise ValueError(f"expected pooled features of shape ({count}, d), got {self.pooled.shape}")
        for tap, maps in self.dense.items():
            if maps.ndim != 4 or maps.shape[0] != count:
                raise ValueError(f"expected dense map {tap} of shape ({count}, c, h, w), got {maps.shape}")

    def take(self, rows: Sequence[int]) -> FeatureTable:
        """The table of some rows, in the order given."""
        index = list(rows)
        return FeatureTable(
            images=tuple(self.images[row] for row in index),
            pooled=self.pooled[index],
            trunk=self.trunk,
            dense={tap: maps.take(index, axis=0) for tap, maps in self.dense.items()},
        )
