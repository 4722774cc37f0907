"""The same images through a trunk in several ways at once: features compared, and models' answers gathered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from trunkline.algorithms.heads.base import Scores
from trunkline.platform.engine.features import Read, decoded
from trunkline.platform.engine.fleet import Model, score
from trunkline.platform.engine.predictor import features_of

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings
    from trunkline.core.types.dataset import Truth

_TOGETHER = 64
"""Images that are held decoded and embedded at once."""


@dataclass(frozen=True)
class Asked:
    """A model with the images that it is asked about.

    Attributes:
        model: The model.
        images: Their digests, each once.
        targets: What is true of each.
    """

    model: Model
    images: tuple[str, ...]
    targets: tuple[Truth, ...]


@dataclass(frozen=True)
class Tried:
    """What came out.

    Attributes:
        cosines: Way -> of each image, its features with those of the first way, float array of shape (n,).
        scores: Way -> answers of each model, by its place, in the order of its images.
    """

    cosines: Mapping[Way, np.ndarray]
    scores: Mapping[Way, Sequence[Scores]]


def try_ways(
    trunk: Trunk,
    sessions: Mapping[Way, TrunkSession],
    images: Sequence[str],
    asked: Sequence[Asked],
    *,
    read: Read,
    settings: Settings,
) -> Tried:
    """Run images through every way, each decoded once.

    Args:
        trunk: The trunk.
        sessions: It, open; the first one is what the others are compared with.
        images: Digests of the images, each once; those of all models among them.
        asked: The models.
        read: Gives (digest, file bytes) for digests.
        settings: Threads, batch, largest image.

    Raises:
        DataError: On an image that cannot be decoded.
    """
    import numpy as np

    cosines: dict[Way, list[np.ndarray]] = {way: [] for way in sessions}
    parts: dict[tuple[Way, int], list[Scores]] = defaultdict(list)
    order: dict[int, list[str]] = defaultdict(list)
    wanted = [dict.fromkeys(one.images) for one in asked]
    with closing(decoded(images, read, trunk.card, settings)) as stream:
        for block in _blocks(stream, _TOGETHER):
            rows = [[at for at, (image, _) in enumerate(block) if image in want] for want in wanted]
            first: np.ndarray | None = None
            for way, session in sessions.items():
                table = features_of(session, trunk, [pixels for _, pixels in block])
                first = table.pooled if first is None else first
                cosines[way].append(cosine(table.pooled, first))
                for place, one in enumerate(asked):
                    if rows[place]:
                        parts[way, place].append(score(one.model.head, table.take(rows[place])))
            for place, found in enumerate(rows):
                order[place] += [block[at][0] for at in found]
    return Tried(
        {way: np.concatenate(values) if values else np.empty(0) for way, values in cosines.items()},
        {
            way: [_ordered(parts[way, place], order[place], one.images) for place, one in enumerate(asked)]
            for way in sessions
        },
    )


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the rows of two arrays of shape (n, d); 1 where both are nothing."""
    import numpy as np

    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.where(lengths > 0, (a * b).sum(axis=1) / np.maximum(lengths, 1e-30), 1.0), np.float64)


def _ordered(parts: Sequence[Scores], found: Sequence[str], images: Sequence[str]) -> Scores:
    """One table of answers, in the order of a model's images."""
    import numpy as np

    place = {image: at for at, image in enumerate(found)}
    rows = [place[image] for image in images]
    raw = [part.anomaly for part in parts if part.anomaly is not None]
    things = [one for part in parts for one in part.things or ()]
    return Scores(
        np.concatenate([part.probabilities for part in parts])[rows],
        np.concatenate([part.accepted for part in parts])[rows],
        np.concatenate([part.unsure for part in parts])[rows],
        np.concatenate(raw)[rows] if raw else None,
        tuple(things[row] for row in rows) if things else None,
    )


def _blocks(stream: Iterable[tuple[str, np.ndarray]], count: int) -> Iterator[list[tuple[str, np.ndarray]]]:
    pictures = iter(stream)
    while block := list(islice(pictures, count)):
        yield block
