from __future__ import annotations

import numpy as np
import pytest

from trunkline.platform.samples.mosaics import mosaics

PICTURES = {label: [np.full((3, 4), 10 * kind + i, np.uint8) for i in range(8)] for kind, label in enumerate("abc")}


def test_each_part_is_used_once_and_labels_are_those_of_the_parts() -> None:
    made = list(mosaics(PICTURES, 6))
    assert [pixels.shape for pixels, _ in made] == [(6, 8)] * 6
    corners = [[int(pixels[y, x]) for y in (0, 5) for x in (0, 7)] for pixels, _ in made]
    parts = [value for four in corners for value in four]
    assert len(set(parts)) == len(parts) == 24
    assert [labels for _, labels in made] == [tuple(sorted({"abc"[v // 10] for v in four})) for four in corners]


def test_the_same_seed_gives_the_same() -> None:
    first, again, other = ([labels for _, labels in mosaics(PICTURES, 6, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_too_few_pictures() -> None:
    with pytest.raises(ValueError, match="expected 28 pictures for 7 mosaics, got 24"):
        list(mosaics(PICTURES, 7))
