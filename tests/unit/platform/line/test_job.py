"""Which images a job keeps from learning; whole journeys are in tests/flows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trunkline.core.types.dataset import Dataset, Sample
from trunkline.platform.line.job import Job

TESTED, LEARNED, LEARNED_TWIN, NEW, NEW_TWIN = (letter * 64 for letter in "abcde")
FEATURES = dict(zip((TESTED, LEARNED, NEW), np.random.default_rng(0).normal(size=(3, 16)), strict=True))
FEATURES |= {LEARNED_TWIN: FEATURES[TESTED], NEW_TWIN: FEATURES[TESTED]}
SIDES = {TESTED: "test", LEARNED: "train", LEARNED_TWIN: "train"}


def pooled(images: Sequence[str], **_: Any) -> Any:
    return SimpleNamespace(pooled=np.stack([FEATURES[image] for image in images]))


@pytest.mark.parametrize(
    ("images", "frozen"),
    [
        ((TESTED, LEARNED, LEARNED_TWIN), {TESTED}),
        ((TESTED, LEARNED, LEARNED_TWIN, NEW, NEW_TWIN), {TESTED, NEW_TWIN}),
        ((LEARNED, LEARNED_TWIN, NEW, NEW_TWIN), {TESTED, NEW_TWIN}),
    ],
)
def test_of_images_like_frozen_ones_those_are_frozen_that_nothing_was_learned_from(
    images: tuple[str, ...], frozen: set[str]
) -> None:
    tested = Dataset("parts", 1, tuple(Sample(image, image, ("a",), (), side) for image, side in SIDES.items()))
    job: Any = SimpleNamespace(
        images=images,
        table=pooled(images),
        shop=SimpleNamespace(images=SimpleNamespace(has=lambda image: True)),
        features=SimpleNamespace(ensure=pooled),
        read_images=None,
    )
    assert Job.frozen_images(job, tested) == frozen
