"""Patches of dense maps and a bounded memory of good ones, after PatchCore (Roth et al., CVPR 2022).

Two things differ, both measured (docs/decisions/0003-anomaly-head.md): patches are whitened, since faults show where
good patches hardly vary, and an image's score is the mean of its strangest fiftieth, which is less noisy than the one
strangest patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH = 160
"""Dimensions that patches are projected to, at the most."""
BANK = 512
"""Patches kept, at the most: 160 KiB in float16."""
STRANGEST = 0.02
"""Share of an image's positions that its score is the mean of."""
_POOL = 16_384  # patches that the bank is chosen from
_CHUNK = 32  # images worked on at a time


@dataclass(frozen=True)
class Memory:
    """What good patches look like.

    Attributes:
        projection: Float32 of shape (c, WIDTH or less); acts on raw patch features.
        offset: Float32 of shape (WIDTH or less,).
        bank: Float16 of shape (m, WIDTH or less).
        owners: Row of the image that each of the m patches is from.
    """

    projection: np.ndarray
    offset: np.ndarray
    bank: np.ndarray
    owners: np.ndarray


def patch_features(dense: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features of each position from the two finest taps, the finer smoothed over its 3 x 3 neighbours.

    Args:
        dense: Maps by tap, each of shape (n, c, h, w).

    Returns:
        Float32 of shape (n, h, w, channels of both), at the finest tap's size.
    """
    finest = sorted(dense.values(), key=lambda maps: -maps.shape[2] * maps.shape[3])[:2]
    height, width = finest[0].shape[2:]
    parts = [_smooth(np.asarray(finest[0], np.float32), (1, 2, 1))]
    parts += [resize(np.asarray(maps, np.float32), height, width) for maps in finest[1:]]
    return np.concatenate(parts, axis=1).transpose(0, 2, 3, 1)


def _smooth(maps: np.ndarray, kernel: Sequence[float]) -> np.ndarray:
    """Separable filter over the last two axes; edges repeat."""
    weights = np.asarray(kernel, np.float32) / np.float32(sum(kernel))
    reach = len(weights) // 2
    for axis in (-2, -1):
        padding = [(0, 0)] * maps.ndim
        padding[axis] = (reach, reach)
        padded = np.pad(maps, padding, mode="edge")
        size = maps.shape[axis]
        maps = sum(weight * np.take(padded, np.arange(i, i + size), axis=axis) for i, weight in enumerate(weights))
    return maps


def resize(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, centres aligned, over the last two axes."""
    for axis, size in ((-2, height), (-1, width)):
        count = maps.shape[axis]
        if count == size:
            continue
        place = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
        below = np.minimum(place.astype(int), max(count - 2, 0))
        share = (place - below).astype(np.float32)
        shape = [1] * maps.ndim
        shape[axis] = size
        share = share.reshape(shape)
        above = np.minimum(below + 1, count - 1)
        maps = np.take(maps, below, axis=axis) * (1 - share) + np.take(maps, above, axis=axis) * share
    return maps


def remember(dense: Mapping[str, np.ndarray], rows: np.ndarray, seed: int) -> Memory:
    """Learn what good patches look like.

    Patches are whitened over good ones; the bank is chosen by greedy k-centre, so that no good patch is far from it.

    Args:
        dense: Maps by tap of all images.
        rows: Rows of the good images, in an order that does not hang on how the data was read.
        seed: Of the patches that the bank is chosen from.
    """
    rng = np.random.default_rng(seed)
    projection, offset = _whitening(dense, rows, rng)
    pool, owners = [], []
    for part in _chunks(rows):
        features = patch_features({tap: maps[part] for tap, maps in dense.items()})
        n, positions = len(part), features.shape[1] * features.shape[2]
        flat = features.reshape(n, positions, -1)
        keep = min(positions, max(1, _POOL // len(rows)))
        for i, row in enumerate(part):
            pool.append(flat[i, rng.permutation(positions)[:keep]] @ projection + offset)
            owners.append(np.full(keep, row))
    patches, owner = np.concatenate(pool), np.concatenate(owners)
    chosen = k_centres(patches, BANK)
    return Memory(projection, offset, patches[chosen].astype(np.float16), owner[chosen])


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _whitening(
    dense: Mapping[str, np.ndarray], rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Affine map that whitens good patches; on to WIDTH drawn orthogonal directions where there are more channels."""
    count, first, second = 0, 0.0, 0.0
    for part in _chunks(rows):
        features = patch_features({tap: maps[part] for tap, maps in dense.items()})
        flat = features.reshape(-1, features.shape[-1])
        count += len(flat)
        first = first + flat.sum(axis=0, dtype=np.float64)
        second = second + (flat.T @ flat).astype(np.float64)
    mean = np.asarray(first) / count
    covariance = np.asarray(second) / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(covariance.diagonal(), 0))
    scale = np.maximum(deviation, 1e-3 * deviation.max() + 1e-6)
    energy, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    # Directions in which a handful of good images do not vary at all must not blow up: a thousandth of the mean energy.
    axes = vectors / np.sqrt(np.maximum(energy, 1e-3)) / scale[:, None]
    if len(mean) > WIDTH:
        drawn, _ = np.linalg.qr(rng.standard_normal((len(mean), WIDTH)))
        axes = axes @ (drawn * np.sqrt(len(mean) / WIDTH))
    return axes.astype(np.float32), (-mean @ axes).astype(np.float32)


def k_centres(points: np.ndarray, count: int) -> np.ndarray:
    """Greedy k-centre (Gonzalez, 1985): each next point is the one farthest from those chosen.

    Args:
        points: Shape (n, d).
        count: How many to choose; all when there are no more.

    Returns:
        Indices of shape (min(n, count),), the first being the point nearest to the mean.
    """
    n = len(points)
    if n <= count:
        return np.arange(n)
    norms = np.einsum("nd,nd->n", points, points)
    chosen = np.empty(count, np.int64)
    chosen[0] = int(np.argmin(norms - 2 * points @ points.mean(axis=0)))
    nearest = np.full(n, np.inf, np.float32)
    for step in range(count):
        if step:
            chosen[step] = int(np.argmax(nearest))
        latest = points[chosen[step]]
        np.minimum(nearest, norms - 2 * (points @ latest) + latest @ latest, out=nearest)
        nearest[chosen[step]] = -np.inf
    return chosen


def distance_maps(
    dense: Mapping[str, np.ndarray], memory: Memory, left_out: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Distance of each position to the nearest patch of the bank, smoothed over its neighbours.

    Args:
        dense: Maps by tap of n images.
        memory: The bank.
        left_out: For each image, which of the bank's patches do not count (bool of shape (m,)): its own and its
            near-duplicates', when training images are scored.

    Returns:
        Float32 of shape (n, h, w).
    """
    bank = memory.bank.astype(np.float32)
    norms = np.einsum("md,md->m", bank, bank)
    count = len(next(iter(dense.values())))
    result = []
    for part in _chunks(np.arange(count)):
        features = patch_features({tap: maps[part] for tap, maps in dense.items()})
        projected = features @ memory.projection + memory.offset
        for i, row in enumerate(part):
            patches = projected[i].reshape(-1, projected.shape[-1])
            squared = patches @ (-2 * bank.T)
            squared += norms + (np.where(left_out[row], np.float32(1e30), np.float32(0)) if left_out is not None else 0)
            least = squared.min(axis=1) + np.einsum("nd,nd->n", patches, patches)
            result.append(np.sqrt(np.maximum(least, 0)).reshape(projected.shape[1:3]))
    return _smooth(np.stack(result), (1, 2, 1))


def image_scores(maps: np.ndarray) -> np.ndarray:
    """Mean of each map's largest fiftieth.

    Args:
        maps: Shape (n, h, w).

    Returns:
        Float64 of shape (n,).
    """
    flat = maps.reshape(len(maps), -1)
    count = max(1, round(STRANGEST * flat.shape[1]))
    return np.asarray(np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64))
