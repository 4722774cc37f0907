"""The one place where pictures are resized: stretched, smoothed, never changed when they fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.preprocess import preprocess

CARD = TrunkCard("net", 32, (0.0,) * 3, (1.0,) * 3, (Tap("tap0", 1, 8),), "w", "MIT", "here")


def test_a_picture_of_the_right_size_is_not_touched(pictures: Pictures) -> None:
    pixels = pictures.array(size=(32, 32))
    assert np.array_equal(preprocess(Image.fromarray(pixels), CARD), pixels)


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (90, 7), (33, 32), (500, 400)], ids=str)
def test_any_size_is_stretched_to_the_square(size: tuple[int, int], pictures: Pictures) -> None:
    found = preprocess(Image.fromarray(pictures.array(size=size)), CARD)
    assert (found.shape, found.dtype) == ((32, 32, 3), np.uint8)


def test_edges_stay_in_sight() -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, :12] = (255, 0, 0)
    pixels[:, -12:] = (0, 0, 255)
    found = preprocess(Image.fromarray(pixels), CARD)
    assert (found[:, 0].tolist(), found[:, -1].tolist()) == ([[255, 0, 0]] * 32, [[0, 0, 255]] * 32)


def test_small_patterns_are_smoothed_not_sampled() -> None:
    pixels = np.zeros((320, 320, 3), np.uint8)
    pixels[::2] = 255
    found = preprocess(Image.fromarray(pixels), CARD).astype(int)
    assert abs(found - 127.5).max() < 16
