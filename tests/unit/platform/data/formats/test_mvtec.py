from __future__ import annotations

from typing import Any

import pytest

from trunkline.core.types.dataset import Dataset, Sample
from trunkline.platform.data.formats.mvtec import Mvtec


def test_labels_are_good_and_the_defects_and_masks_are_not_images(make: Any, read: Any) -> None:
    expected = {
        "test/cut/000.png": (("cut",), [], "test"), "test/good/000.png": (("good",), [], "test"),
        "train/good/000.png": (("good",), [], "train"), "validation/good/000.png": (("good",), [], "train"),
    }  # fmt: skip
    source = make({**dict.fromkeys(expected), "ground_truth/cut/000_mask.png": None, "train/loose.png": None})
    assert read(source, "mvtec") == (expected, {})


LACKS = {
    "no split": ([("good", "")], "images without a split or without a label"),
    "a flaw to learn from": ([("good", "train"), ("cut", "train"), ("good", "test")],
                             "anything but 'good' in its training part, or no test part"),
    "nothing to test": ([("good", "train")], "anything but 'good' in its training part, or no test part"),
    "nothing": ([("good", "train"), ("cut", "test")], ""),
}  # fmt: skip


@pytest.mark.parametrize("case", LACKS)
def test_what_it_cannot_say_is_known(case: str) -> None:
    rows, expected = LACKS[case]
    samples = tuple(Sample("a" * 64, "1.png", (label,), (), split) for label, split in rows)
    assert Mvtec().lacks(Dataset("x", 1, samples)) == expected
