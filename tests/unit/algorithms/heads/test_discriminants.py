"""Least-squares scores made logits: better where labels are mixed up in pairs, honest where there are few images."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.algorithms.heads.discriminants import _folds, discriminants, fit_logits
from trunkline.algorithms.heads.linear import softmax


def scores(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Held-out scores of three labels; what makes the first two rise and fall together hides which of them it is."""
    rng = np.random.default_rng(seed)
    targets = np.eye(3)[np.arange(count) % 3]
    shared = rng.normal(0, 0.6, (count, 1)) * np.array([1.0, 1.0, -2.0])
    return 0.35 * targets + shared + rng.normal(0, 0.08, (count, 3)), targets


def right(logits: np.ndarray, targets: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == targets.argmax(axis=1)).mean())


def test_discriminants_see_through_what_labels_share() -> None:
    (learned, truth), (other, other_truth) = scores(150, 0), scores(300, 1)
    matrix, offset = discriminants(learned, truth)
    assert right(other, other_truth) < 0.7
    assert right(other @ matrix + offset, other_truth) > 0.8


@pytest.mark.parametrize("count", [12, 30, 150])
def test_held_out_logits_do_not_flatter(count: int) -> None:
    learned, truth = scores(count, 2)
    other, other_truth = scores(600, 3)
    fitted = fit_logits(learned, truth, np.arange(count))
    known = softmax(fitted.held_out)[np.arange(count), truth.argmax(axis=1)].mean()
    new = softmax(other @ fitted.matrix + fitted.offset)[np.arange(600), other_truth.argmax(axis=1)].mean()
    assert known < new + 0.12


def test_well_parted_labels_do_not_make_strangers_certain() -> None:
    """Thirty images, all answered rightly; what lies a third of the way between two labels is no sure thing."""
    rng = np.random.default_rng(0)
    targets = np.eye(3)[np.arange(30) % 3]
    fitted = fit_logits(targets + rng.normal(0, 0.02, (30, 3)), targets, np.arange(30))
    stranger = softmax(np.array([0.6, 0.3, 0.1]) @ fitted.matrix + fitted.offset)
    assert 0.1 < (1 - softmax(fitted.held_out).max(axis=1)).sum() < 1  # a quarter of a mistake in thirty images
    assert stranger.max() < 0.99


def test_one_image_of_a_label_is_no_fault() -> None:
    learned, truth = scores(10, 4)
    fitted = fit_logits(learned, truth, np.zeros(10, int))
    assert np.isfinite(fitted.matrix).all()
    assert np.isfinite(fitted.held_out).all()


def test_folds_keep_groups_together_and_labels_even() -> None:
    labels, groups = np.repeat([0, 1], 20), np.repeat(np.arange(20), 2)
    fold = _folds(labels, groups)
    assert [len(set(fold[groups == group])) for group in range(20)] == [1] * 20
    assert [len(set(fold[labels == label])) for label in (0, 1)] == [5, 5]
