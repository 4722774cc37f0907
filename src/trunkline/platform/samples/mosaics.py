"""Pictures with several labels, put together two by two from real single pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def mosaics(
    pictures: Mapping[str, Sequence[np.ndarray]], count: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, tuple[str, ...]]]:
    """Squares of four pictures with the set of their labels.

    Each single picture is used for one mosaic only, so that no two mosaics share a part.

    Args:
        pictures: Label -> pictures, uint8 of one shape (h, w).
        count: How many mosaics.
        seed: Seed of the draw.

    Yields:
        Pixels, uint8 of shape (2 h, 2 w), and the labels, sorted, without repeats.

    Raises:
        ValueError: When there are fewer than four pictures a mosaic.
    """
    import numpy as np

    pool = [(label, picture) for label in sorted(pictures) for picture in pictures[label]]
    if len(pool) < 4 * count:
        raise ValueError(f"expected {4 * count} pictures for {count} mosaics, got {len(pool)}")
    order = np.random.default_rng(seed).permutation(len(pool))[: 4 * count].reshape(count, 4)
    for picks in order:
        four = [pool[pick] for pick in picks]
        pixels = np.block([[four[0][1], four[1][1]], [four[2][1], four[3][1]]])
        yield pixels, tuple(sorted({label for label, _ in four}))
