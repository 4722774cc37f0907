"""Ways to see a picture: boxes go along with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from trunkline.algorithms.trunks import Tap, TrunkCard, preprocess
from trunkline.core.types.view import View, Window

CARD = TrunkCard("x", 64, (0.0,) * 3, (1.0,) * 3, (Tap("tap0", 1, 8),), "0" * 64, "MIT", "made up")
DIGESTS = [f"{number:064x}" for number in range(40)]


def spot(x1: int, y1: int, x2: int, y2: int) -> Image.Image:
    """A white box on a black picture of 160 x 80."""
    pixels = np.zeros((80, 160, 3), np.uint8)
    pixels[y1:y2, x1:x2] = 255
    return Image.fromarray(pixels)


def test_numbers_say_how_pictures_are_seen() -> None:
    assert [View(number).window(DIGESTS[0]) for number in (0, 1)] == [Window(), Window(mirrored=True)]
    assert [View(number).key for number in (0, 1, 5)] == ["", "view1", "view5"]
    windows = [View(number).window(image) for number in (2, 3, 4) for image in DIGESTS]
    assert windows == [View(number).window(image) for number in (2, 3, 4) for image in DIGESTS]
    assert len(set(windows)) == len(windows)
    sides = [window.x2 - window.x1 for window in windows]
    assert 0.6 <= min(sides) < 0.7
    assert 1.1 < max(sides) <= 1.25
    assert [view.mirrored for view in windows[:: len(DIGESTS)]] == [False, True, False]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("image", DIGESTS[:4])
def test_a_box_is_where_the_view_shows_it(number: int, image: str) -> None:
    window = View(number).window(image)
    seen = preprocess(spot(64, 24, 96, 56), CARD, window)[..., 0]
    x1, y1, x2, y2 = (value * CARD.size for value in window.box(64 / 160, 24 / 80, 96 / 160, 56 / 80))
    rows, columns = np.nonzero(seen > 190)  # grey is outside of the picture
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(found, np.clip([x1, y1, x2, y2], 0, CARD.size), atol=1.5)


def test_outside_the_picture_there_is_grey() -> None:
    seen = preprocess(spot(0, 0, 160, 80), CARD, Window(-0.25, 0.0, 1.0, 1.25))
    assert (seen[:50, :12] == 127).all()
    assert (seen[:50, 14:] == 255).all()
    assert (seen[52:] == 127).all()
