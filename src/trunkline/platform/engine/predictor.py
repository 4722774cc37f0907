"""The inference path: bundles in, observations out. The gate, `predict` and `evaluate` all come through here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trunkline.core.images import decode
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.observation import Observation, Prediction, Reading
from trunkline.platform.engine.columns import halved
from trunkline.platform.engine.fleet import Fleet, Model

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores, Things
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings

TOGETHER = 16
"""Images on which the heads answer at once: a product with thousands of heads costs half as much an image as on 4."""


class Predictor:
    """Runs one trunk once per image, and every model on its features.

    Args:
        models: Models on one and the same trunk.
        trunk: That trunk.
        settings: Threads, batch size, runtime.
        session: The trunk, open, when the caller has it; it stays the caller's. Opened here when not given.
        way: Runtime and precision to open it in; None: as features are made.
    """

    def __init__(
        self,
        models: Sequence[Model],
        trunk: Trunk,
        settings: Settings,
        *,
        session: TrunkSession | None = None,
        way: Way | None = None,
    ) -> None:
        from trunkline.algorithms.trunks import open_trunk

        # By place: two files may bring models of one name.
        self._fleet = Fleet(trunk.card.digest).changed({str(at): model for at, model in enumerate(models)})
        self.models = [self._fleet[str(at)] for at in range(len(models))]
        self.trunk = trunk
        self.settings = settings
        self.dense = bool(self._fleet.dense)
        self._own = session is None
        self._session: TrunkSession = session or open_trunk(trunk, settings, dense=self.dense, way=way)

    @property
    def precision(self) -> str:
        """What the trunk really computes in."""
        return self._session.precision

    def predict(self, readings: Iterable[Reading]) -> Iterator[Observation]:
        """Observations in the order of the readings, for each reading one a model, in the order of the models."""
        batch: list[Reading] = []
        for reading in readings:
            batch.append(reading)
            if len(batch) >= max(TOGETHER, self.settings.batch):
                yield from self._run(batch)
                batch = []
        if batch:
            yield from self._run(batch)

    def _run(self, readings: Sequence[Reading]) -> Iterator[Observation]:
        table = self.features([reading.pixels for reading in readings])
        answers = self._fleet.answers(table)
        by_model = [answers[str(at)] for at in range(len(self.models))]
        for row, reading in enumerate(readings):
            for model, scores in zip(self.models, by_model, strict=True):
                yield observation(model, scores, row, reading)

    def features(self, pixels: Sequence[np.ndarray]) -> FeatureTable:
        """Features of RGB pictures of any size, each of shape (h, w, 3) uint8."""
        from PIL import Image

        from trunkline.algorithms.trunks import preprocess

        inputs = [preprocess(Image.fromarray(p), self.trunk.card) for p in pixels]
        return features_of(self._session, self.trunk, inputs)

    def latency(self, images: Iterable[bytes], *, clock: Callable[[], float] = time.perf_counter) -> list[float]:
        """Milliseconds from the bytes of one image to all answers, one image at a time, the first left out."""
        times = []
        for data in images:
            start = clock()
            pixels = pixels_of(data, max_pixels=self.settings.max_pixels)
            list(self._run([Reading("latency", 0, 0.0, pixels)]))
            times.append(1e3 * (clock() - start))
        return times[1:]

    def close(self) -> None:
        """Free the trunk, if it was opened here."""
        if self._own:
            self._session.close()


def features_of(
    session: TrunkSession, trunk: Trunk, inputs: Sequence[np.ndarray], *, whole: bool = True
) -> FeatureTable:
    """Features of preprocessed pictures, each of shape (size, size, 3) uint8.

    Bit by bit those that the feature cache keeps of the same pictures: heads answer as they were measured.

    Args:
        session: The trunk, open.
        trunk: The trunk.
        inputs: One picture or more.
        whole: Use all that the session has; else one of its streams.
    """
    import numpy as np

    out = session.embed(inputs, whole=whole)
    dense = {name: halved(maps).astype(np.float32) for name, maps in out.items() if name != "pooled"}
    return FeatureTable(tuple("" for _ in inputs), out["pooled"], trunk.card.digest, dense)


def pixels_of(data: bytes, *, max_pixels: int) -> np.ndarray:
    """An image file's bytes as RGB uint8 pixels of shape (h, w, 3).

    Raises:
        DataError: When the bytes are no image, or one that is too large.
    """
    import numpy as np

    return np.asarray(decode(data, max_pixels=max_pixels))


def observation(model: Model, scores: Scores, row: int, reading: Any) -> Observation:
    """One row of scores as an `Observation`; labels, or things, by falling score."""
    labels = model.head.labels
    if scores.things is not None:
        return _seen(model, scores.things[row], bool(scores.unsure[row]), reading)
    ranked = sorted(
        (
            Prediction(label, float(min(1.0, max(0.0, p))))
            for label, p in zip(labels, scores.probabilities[row], strict=True)
        ),
        key=lambda prediction: (-prediction.score, prediction.label),
    )
    accepted = {label for label, taken in zip(labels, scores.accepted[row], strict=True) if taken}
    return Observation(
        source=reading.source,
        frame=reading.frame,
        time=reading.time,
        predictions=tuple(ranked),
        accepted=tuple(p.label for p in ranked if p.label in accepted),
        unsure=bool(scores.unsure[row]),
        bundle=model.bundle,
        anomaly_score=None if scores.anomaly is None else float(scores.anomaly[row]),
    )


def _seen(model: Model, things: Things, unsure: bool, reading: Any) -> Observation:
    """Things that are accepted, or nearly, with boxes in pixels of the source."""
    labels = model.head.labels
    least = [model.head.unsure[label][0] for label in labels]
    height, width = reading.pixels.shape[:2]
    found, accepted = [], []
    for box, label, score, taken in zip(things.boxes, things.labels, things.scores, things.accepted, strict=True):
        x1, y1, x2, y2 = (round(float(at) * side, 2) for at, side in zip(box, (width, height) * 2, strict=True))
        if x1 < x2 and y1 < y2 and (taken or score >= least[label]):
            found.append(Prediction(labels[label], float(min(1.0, max(0.0, score))), (x1, y1, x2, y2), bool(taken)))
            accepted += [labels[label]] if taken else []
    return Observation(
        source=reading.source,
        frame=reading.frame,
        time=reading.time,
        predictions=tuple(found),
        accepted=tuple(dict.fromkeys(accepted)),
        unsure=unsure,
        bundle=model.bundle,
    )
