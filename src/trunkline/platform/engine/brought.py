"""Models that somebody brings, beside models on trunks: a TFLite detector with a card."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.compute.runtimes import RUNTIMES
from trunkline.core.digest import digest_file, digest_json
from trunkline.core.errors import ConfigError, InputError, NotFoundError
from trunkline.core.types.observation import Observation
from trunkline.platform.engine.brought_boxes import Outputs, Rules, things
from trunkline.platform.engine.brought_card import OUTPUTS, Brought, Tensor, read_brought
from trunkline.platform.engine.brought_card import Outputs as Named

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from trunkline.compute.runtimes.litert import Facts
    from trunkline.core.settings import Settings
    from trunkline.core.types.observation import Reading

_SCALED = """for a network that takes 0 to 1:\n
mean: [0, 0, 0]
scale: [255, 255, 255]\n
for one that takes -1 to 1:\n
mean: [127.5, 127.5, 127.5]
scale: [127.5, 127.5, 127.5]
"""


@dataclass(frozen=True)
class BroughtModel:
    """A model that somebody brought.

    Attributes:
        bundle: Digest of its graph, its labels and what its card says of how to use them.
        name: Its name.
        licence: Licence of its weights.
    """

    bundle: str
    name: str
    licence: str

    @property
    def warning(self) -> str:
        """What somebody who uses this model must know."""
        return f"{self.name}: brought along, so no gate measured it and nobody signed it (licence: {self.licence})"


class BroughtPredictor:
    """Runs a detector that somebody brought, beside `Predictor`s.

    Args:
        path: Its graph, with a card beside it; or its card.
        settings: Threads.

    Attributes:
        models: The one model.
        settings: As given.

    Raises:
        InputError: When a file is missing, or is not what it should be.
        MissingExtraError: When LiteRT is not installed.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.settings = settings
        found = read_brought(path)
        card = found.card
        digest = digest_json(
            {
                "graph": digest_file(found.graph),
                "labels": found.labels,
                "card": card.model_dump(exclude={"model", "labels", "background", "source"}),
            }
        )
        self.models = [BroughtModel(digest, card.name, card.licence)]
        self._session = RUNTIMES.load("litert")().open(
            found.graph, outputs=(), threads=settings.threads, mean=card.mean, scale=card.scale
        )
        try:
            self._named, self._places = _outputs(found, self._session.facts)
        except BaseException:
            self._session.close()
            raise
        self._card_at = found.card_at
        height, width = self._size = self._session.facts.size
        self._rules = Rules(
            found.labels, card.label_offset, self._named.order,
            (1, 1) if self._named.unit == "fraction" else (height, width), card.threshold, card.nms,
        )  # fmt: skip

    def predict(self, readings: Iterable[Reading]) -> Iterator[Observation]:
        """Observations in the order of the readings; the next picture is made ready while the graph runs.

        Raises:
            InputError: When the graph fails on a picture, or its outputs are not what the card says.
        """
        under_way: deque[Reading] = deque()

        def pictures() -> Iterator[np.ndarray]:
            for reading in readings:
                under_way.append(reading)
                yield self._fed(reading.pixels)

        with closing(self._session.stream(pictures())) as stream:
            for out in stream:
                yield self._observation(under_way.popleft(), out)

    def _fed(self, pixels: np.ndarray) -> np.ndarray:
        """A picture stretched to the graph's input, as a batch."""
        import numpy as np
        from PIL import Image

        height, width = self._size
        image = Image.fromarray(pixels)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)[None]

    def _observation(self, reading: Reading, out: Mapping[str, np.ndarray]) -> Observation:
        values = {part: out[name][0] for part, name in self._places.items()}
        outputs = Outputs(values["boxes"], values["scores"], values.get("classes"), values.get("count"))
        height, width = reading.pixels.shape[:2]
        try:
            seen = things(outputs, self._rules, height, width)
        except InputError as error:
            raise InputError(error.message, where=str(self._card_at), fix=error.fix) from error
        return Observation(
            source=reading.source,
            frame=reading.frame,
            time=reading.time,
            predictions=seen,
            accepted=tuple(dict.fromkeys(thing.label for thing in seen)),
            unsure=False,
            bundle=self.models[0].bundle,
        )

    def close(self) -> None:
        """Free the graph."""
        self._session.close()


def _outputs(found: Brought, facts: Facts) -> tuple[Named, dict[str, str]]:
    """Which output is what, and the name of each in the graph."""
    named = found.card.outputs
    if named is None:
        if not facts.detection:
            raise ConfigError(
                f"the graph does not end in TFLite_Detection_PostProcess, so the card must say which of its outputs "
                f"({', '.join(facts.outputs)}) is what",
                where=f"{found.card_at}: outputs",
                fix=f"for example:\n\n{OUTPUTS}\n",
            )
        boxes, classes, scores, count = facts.detection
        named = Named(boxes=boxes, classes=classes, scores=scores, count=count, order="yxyx", unit="fraction")
    if facts.dtype == "float32" and found.card.mean is None:
        raise ConfigError(
            "the graph takes float32, so the card must say mean and scale", where=str(found.card_at), fix=_SCALED
        )
    parts: dict[str, Tensor | None] = {
        "boxes": named.boxes, "scores": named.scores, "classes": named.classes, "count": named.count,
    }  # fmt: skip
    places = {}
    for part, tensor in parts.items():
        if tensor is None:
            continue
        name = facts.outputs[tensor] if isinstance(tensor, int) and tensor < len(facts.outputs) else str(tensor)
        if name not in facts.outputs:
            raise NotFoundError("output", name, facts.outputs, where=f"{found.card_at}: outputs.{part}")
        places[part] = name
    return named, places
