"""How long one image takes, from the bytes of its file to the answer.

Where a limit was asked for, whole answers are timed on the scenario's own images. Where none was asked for, the parts
are timed and added up: reading the scenario's own images, the trunk (once a run: it is the same for every model on
it), and the head. That keeps a thousand models from timing the same trunk a thousand times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trunkline.algorithms.heads import HEADS
from trunkline.platform.engine.fleet import Model, score
from trunkline.platform.engine.predictor import Predictor, pixels_of

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.line.workshop import Workshop

WHOLE = 32
"""Images timed where a limit was asked for."""
PARTS = 3
"""Images read, and answers given, where none was."""


def whole_ms(shop: Workshop, trunk: Trunk, head: TrainedHead, images: Sequence[bytes]) -> list[float]:
    """Milliseconds of whole answers, one image at a time.

    Args:
        shop: Gives the open trunk.
        trunk: The head's trunk.
        head: The head as it ships.
        images: Bytes of image files; the first only warms up.
    """
    dense = bool(HEADS.load(head.task)().dense)
    session = shop.session(trunk, dense=dense)
    predictor = Predictor([Model("", head)], trunk, shop.settings, session=session)
    return predictor.latency(images)


def parts_ms(
    shop: Workshop, trunk: Trunk, head: TrainedHead, images: Sequence[bytes], table: FeatureTable
) -> list[float]:
    """Milliseconds of an answer as the sum of its parts, one a timing of the trunk.

    Args:
        shop: Remembers how long the trunk takes.
        trunk: The head's trunk.
        head: The head as it ships.
        images: Bytes of a few image files.
        table: Features of at least one image.
    """
    from PIL import Image

    from trunkline.algorithms.trunks import preprocess

    reads, answers = [], []
    for data in images:
        start = time.perf_counter()
        preprocess(Image.fromarray(pixels_of(data, max_pixels=shop.settings.max_pixels)), trunk.card)
        reads.append(1e3 * (time.perf_counter() - start))
    one = table.take([0])
    for _ in range(PARTS):
        start = time.perf_counter()
        score(head, one)
        answers.append(1e3 * (time.perf_counter() - start))
    dense = bool(HEADS.load(head.task)().dense)
    rest = sorted(reads)[len(reads) // 2] + sorted(answers)[len(answers) // 2]
    return [ms + rest for ms in shop.trunk_ms(trunk, dense=dense)]
