"""Picture to trunk input; the one place where pictures are resized."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.trunks.card import TrunkCard


def preprocess(image: Image.Image, card: TrunkCard) -> np.ndarray:
    """Stretch an RGB picture to the trunk's square input, bilinear with antialiasing.

    Stretched, not cropped: what a plant looks for may be at the edge.

    Returns:
        uint8 array of shape (size, size, 3).
    """
    import numpy as np
    from PIL import Image as Pillow

    if image.size != (card.size, card.size):
        image = image.resize((card.size, card.size), Pillow.Resampling.BILINEAR)
    return np.asarray(image)
