"""Near-duplicates are found whatever their number, and groups that are too large are parted where they differ most."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from trunkline.core.digest import digest_json
from trunkline.platform.data.alike import near_any, near_duplicates


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)


def images(count: int) -> list[str]:
    return [digest_json(at) for at in range(count)]


def arc(count: int, degrees: float) -> np.ndarray:
    """Features in a chain: each so many degrees from the next."""
    first, second = noise(2, seed=1)
    angles = np.deg2rad(np.arange(count) * degrees)
    return np.array([np.cos(angle) * first + np.sin(angle) * second for angle in angles])


def sizes(groups: np.ndarray) -> list[int]:
    """Sizes of all groups but those of one image, the largest first."""
    return sorted((size for size in Counter(groups.tolist()).values() if size > 1), reverse=True)


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    pooled = noise(40)
    pooled[7] = pooled[3] + 0.001
    pooled[30] = pooled[7] - 0.001
    expected = np.arange(40)
    expected[[7, 30]] = 3
    assert near_duplicates(pooled, images(40)).groups.tolist() == expected.tolist()


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    pooled = noise(60)
    pooled[:6] = arc(6, 9)  # neighbours are alike (cos 9 degrees = 0.988), the ends are not
    assert sizes(near_duplicates(pooled, images(60)).groups) == [6]


def test_a_group_that_is_too_large_is_parted_where_it_differs_most() -> None:
    pooled = noise(200)
    pooled[:27] = np.delete(arc(29, 3), [10, 11], axis=0)  # a gap of 9 degrees (cos 0.988) behind the tenth
    alike = near_duplicates(pooled, images(200))
    assert (sizes(alike.wide), sizes(alike.groups)) == ([27], [17, 10])


def test_what_is_all_but_identical_is_never_parted() -> None:
    pooled = noise(100)
    pooled[:50] = pooled[0] + noise(50, seed=1) * 0.001
    alike = near_duplicates(pooled, images(100))
    assert (sizes(alike.wide), sizes(alike.groups)) == ([50], [50])


def test_copies_stay_together_where_a_group_is_parted() -> None:
    pooled = np.vstack([arc(60, 3), noise(60)])
    digests = images(120)
    digests[40] = digests[5]
    alike = near_duplicates(pooled, digests)
    assert sizes(alike.wide) == [60]
    assert alike.groups[40] == alike.groups[5]


def test_more_images_than_one_block_are_compared_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.alike._BLOCK", 8)
    pooled = noise(40)
    pooled[39] = pooled[0]
    pooled[[9, 17]] = pooled[30]
    assert sizes(near_duplicates(pooled, images(40)).groups) == [3, 2]
    assert np.nonzero(near_any(pooled, range(20, 40)))[0].tolist() == [0, 9, 17, *range(20, 40)]


def test_flat_features_and_a_single_image_are_borne() -> None:
    assert near_duplicates(np.ones((1, 4), np.float32), images(1)).groups.tolist() == [0]
    assert near_duplicates(np.ones((3, 4), np.float32), images(3)).groups.tolist() == [0, 1, 2]
    assert near_any(np.ones((3, 4), np.float32), [1]).tolist() == [False, True, False]


def test_thousands_that_are_all_alike_take_no_walk_over_pairs() -> None:
    pooled = np.repeat(noise(2), 1500, axis=0) + noise(3000, seed=1) * 0.001
    start = time.process_time()
    assert sizes(near_duplicates(pooled, images(3000)).groups) == [1500, 1500]
    assert time.process_time() - start < 3  # two million pairs; in Python alone they take over ten seconds
