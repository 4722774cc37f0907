"""Near-duplicates by trunk features: which images a split must not part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

SIMILAR = 0.98
"""Cosine similarity of standardised pooled features over which two images are near-duplicates. On 1,799 pictures of
rolled steel, which are alike as textures are, the most alike of different plates stay under it, at 0.93."""
_FROZEN = 0.95
"""The same between a new image and one of a frozen test set. It is lower, as a picture that was saved again may be
further off (JPEG of quality 60: 0.88 to 0.99 on those plates), and an image held back in vain costs little."""
_IDENTICAL = 0.999
"""Over it nothing but noise tells two images apart: they are never parted, however many there are."""
_STEP = 0.75  # of the distance that is left to identity, from one similarity to the next
_LARGEST = 0.1  # a group of over a tenth of all images leaves too little to deal
_LEAST = 20  # but a group of so few is never large
_BLOCK = 1024  # rows compared at once: a block of similarities is 4 MB


class Alike(NamedTuple):
    """Near-duplicate groups of n images; a group's number is the row of its first image.

    Attributes:
        groups: Group of each image, shape (n,); a split keeps them together.
        wide: The same before the largest groups were parted, shape (n,).
    """

    groups: np.ndarray
    wide: np.ndarray


def near_duplicates(pooled: np.ndarray, images: Sequence[str], *, similar: float = SIMILAR) -> Alike:
    """Groups of images of the same bytes or of nearly the same features.

    Groups are the connected parts of "more alike than `similar`". One that grows over a tenth of the images (and over
    20 of them), as frames of a fixed camera do, is parted at rising similarities until its parts are smaller, or all
    but identical.

    Args:
        pooled: Features of shape (n, d).
        images: Digests of the n images.
        similar: Cosine similarity.
    """
    unit = _standardised(pooled)
    first: dict[str, int] = {}
    copies = np.array([first.setdefault(image, row) for row, image in enumerate(images)], np.int64)
    wide = _connected(unit, copies, similar)
    groups = wide.copy()
    most = max(_LEAST, _LARGEST * len(images))

    def part(similar: float) -> np.ndarray:
        parts = groups.copy()
        for rows in _larger(groups, most):
            parts[rows] = rows[_connected(unit[rows], np.searchsorted(rows, copies[rows]), similar)]
        return parts

    # First what stays together in any case, or each step would compare all of it again; a negative number is final.
    cores = part(_IDENTICAL)
    for rows in _larger(cores, most):
        groups[rows] = -1 - cores[rows]
    while (similar := 1 - _STEP * (1 - similar)) < _IDENTICAL:
        groups = part(similar)
    _, starts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return Alike(starts[inverse], wide)


def _larger(groups: np.ndarray, most: float) -> list[np.ndarray]:
    """Rows of each group of more than so many that is not final."""
    numbers, sizes = np.unique(groups, return_counts=True)
    return [np.nonzero(groups == number)[0] for number in numbers[(sizes > most) & (numbers >= 0)]]


def near_any(pooled: np.ndarray, rows: Collection[int], *, similar: float = _FROZEN) -> np.ndarray:
    """Whether each image is nearly the same as one of some of them, shape (n,); those are the same as themselves.

    Args:
        pooled: Features of shape (n, d).
        rows: The images that the others are compared with.
        similar: Cosine similarity.
    """
    unit, marked = _standardised(pooled), np.array(sorted(rows), np.int64)
    near = np.zeros(len(unit), bool)
    near[marked] = True
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK]
        for other in range(0, len(marked), _BLOCK):
            alike = block @ unit[marked[other : other + _BLOCK]].T > similar
            near[start : start + _BLOCK] |= alike.any(axis=1)
    return near


def _standardised(pooled: np.ndarray) -> np.ndarray:
    """Rows of length 1 whose scalar products are cosine similarities; a feature that never differs counts nothing."""
    deviation = pooled.std(axis=0)
    unit = (pooled - pooled.mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.inf)
    rows: np.ndarray = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return rows


def _connected(unit: np.ndarray, copies: np.ndarray, similar: float) -> np.ndarray:
    """Connected parts of "more alike than `similar`", block by block, so that n x n numbers are never held.

    Args:
        unit: Rows of length 1, shape (n, d).
        copies: Row of the first image of the same bytes, shape (n,).
        similar: Cosine similarity.

    Returns:
        The first row of each row's part, shape (n,).
    """
    roots = copies.copy()
    for start in range(0, len(unit), _BLOCK):
        for other in range(start, len(unit), _BLOCK):
            alike = unit[start : start + _BLOCK] @ unit[other : other + _BLOCK].T > similar
            # By its first neighbour each; where all are alike, no pair but these is left to be listed.
            near = np.nonzero(alike.any(axis=1))[0]
            _join(roots, near + start, alike[near].argmax(axis=1) + other)
            alike &= roots[start : start + _BLOCK, None] != roots[other : other + _BLOCK]
            near, far = np.nonzero(alike)
            _join(roots, near + start, far + other)
    return roots


def _join(roots: np.ndarray, near: np.ndarray, far: np.ndarray) -> None:
    """Put the parts of each pair of rows together, in place: each part under the lowest that it touches, until all are.

    Minimum hooking and pointer jumping (Shiloach and Vishkin, 1982): every round at least halves the parts that touch.
    """
    while True:
        low, high = np.minimum(roots[near], roots[far]), np.maximum(roots[near], roots[far])
        apart = low != high
        if not apart.any():
            return
        near, far = near[apart], far[apart]
        np.minimum.at(roots, high[apart], low[apart])
        while not np.array_equal(deeper := roots[roots], roots):
            roots[:] = deeper
