"""Decoding, suppression, and which boxes lie on things."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.heads.detect.boxes import MOST, Suppression, decoded, matched, overlaps, suppressed

BOXES = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
SCORES = np.array([[0.9, 0.0], [0.8, 0.0], [0.3, 0.0], [0.0, 0.7]])


def test_boxes_are_shares_within_the_picture() -> None:
    centres, strides = np.array([[8.0, 8.0], [24.0, 8.0]]), np.array([16.0, 16.0])
    found = decoded(np.array([[0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 5.0, 0.0]]), centres, strides, 32)
    np.testing.assert_allclose(found, [[0.125, 0.0, 0.5, 0.75], [0.5, 0.0, 1.0, 0.25]])


def test_overlap_is_intersection_over_union() -> None:
    found = overlaps(BOXES[:1], np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 10, 20, 20], [3, 3, 3, 3]], np.float32))
    np.testing.assert_allclose(found, [[1.0, 1 / 3, 0.0, 0.0]])


CASES = {
    "the best of those that overlap": (Suppression(overlap=0.5), [[0, 0.9], [0, 0.3], [1, 0.7]]),
    "all of those that overlap less": (Suppression(overlap=0.9), [[0, 0.9], [0, 0.8], [0, 0.3], [1, 0.7]]),
    "none under the least score": (Suppression(overlap=0.5, least=0.5), [[0, 0.9], [1, 0.7]]),
    "softly, as they overlap": (
        Suppression(soft=0.5), [[0, 0.9], [0, 0.3], [0, 0.8 * np.exp(-((90 / 110) ** 2) / 0.5)], [1, 0.7]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_boxes_of_one_thing_become_one(case: str) -> None:
    how, expected = CASES[case]
    _, labels, scores = suppressed(BOXES, SCORES, how)
    assert np.all(np.diff(scores) <= 0)
    found = sorted(zip(labels.tolist(), scores.tolist(), strict=True), key=lambda row: (row[0], -row[1]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_and_empty_boxes_give_nothing() -> None:
    flat = np.array([[5, 5, 5, 9]], np.float32)
    for boxes, scores in ((BOXES, np.zeros((4, 2))), (flat, np.ones((1, 2)))):
        found, labels, values = suppressed(boxes, scores, Suppression())
        assert (found.shape, labels.shape, values.shape) == ((0, 4), (0,), (0,))


def test_a_picture_has_so_many_boxes_and_no_more() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1000, (4000, 2)).astype(np.float32)
    found, _, _ = suppressed(
        np.concatenate([corners, corners + 1], axis=1), rng.uniform(0.1, 1, (4000, 3)), Suppression()
    )
    assert len(found) == MOST


def test_a_thing_is_found_once_by_its_label_and_best_box() -> None:
    truth, named = BOXES[[0, 2]], np.array([0, 1])
    right = matched(BOXES, np.array([0, 0, 1, 1]), truth, named)
    assert right.tolist() == [True, False, True, False]
    assert matched(BOXES, np.array([0, 0, 1, 1]), np.zeros((0, 4)), np.zeros(0, int)).tolist() == [False] * 4
