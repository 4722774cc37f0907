"""Picture to trunk input; the one place where pictures are resized."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.trunks.card import TrunkCard
    from trunkline.core.types.view import Window


_GREY = (127, 127, 127)


def preprocess(image: Image.Image, card: TrunkCard, window: Window | None = None) -> np.ndarray:
    """Stretch an RGB picture to the trunk's square input, bilinear with antialiasing.

    Stretched, not cropped: what a plant looks for may be at the edge.

    Args:
        image: The picture.
        card: The trunk's.
        window: What is seen of it; all when not given.

    Returns:
        uint8 array of shape (size, size, 3).
    """
    import numpy as np
    from PIL import Image as Pillow

    if window is not None:
        image = _seen(image, card.size, window)
    if image.size != (card.size, card.size):
        image = image.resize((card.size, card.size), Pillow.Resampling.BILINEAR)
    return np.asarray(image)


def _seen(image: Image.Image, size: int, window: Window) -> Image.Image:
    """What is seen of a picture, as a square of some side; grey where there is nothing."""
    from PIL import Image as Pillow

    x1, y1, x2, y2 = max(0.0, window.x1), max(0.0, window.y1), min(1.0, window.x2), min(1.0, window.y2)
    across, down = size / (window.x2 - window.x1), size / (window.y2 - window.y1)
    left, top = round((x1 - window.x1) * across), round((y1 - window.y1) * down)
    width, height = max(1, round((x2 - x1) * across)), max(1, round((y2 - y1) * down))
    part = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
    found = image.resize((width, height), Pillow.Resampling.BILINEAR, box=part)
    if (width, height) != (size, size):
        whole = Pillow.new("RGB", (size, size), _GREY)
        whole.paste(found, (left, top))
        found = whole
    return found.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT) if window.mirrored else found
