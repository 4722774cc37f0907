"""The engine: models that serve, one trunk pass an image whoever asks; models come and go while it answers.

A lane for each trunk (`lane`) gathers what callers bring, runs the trunk once on all of it and all models that were
asked for in a few matrix products. A request is answered by the models as they were when it came in, whatever is added,
swapped or removed before its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from trunkline.core.errors import NotFoundError
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.lane import QUEUE, WAIT, Answer, Lane, Request, Watch

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.trunks import Trunk
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings

    _Place = tuple[str, Way | None]


class Engine:
    """Models on any number of trunks, asked by any number of threads.

    Args:
        settings: Threads, batch size, runtime.
        wait: Seconds that an image waits for others, at the most.
        queue: Images that may wait for each trunk.
        watch: Told of each run of a trunk, in its thread: images and seconds.
    """

    def __init__(
        self, settings: Settings, *, wait: float = WAIT, queue: int = QUEUE, watch: Watch = lambda images, seconds: None
    ) -> None:
        self.settings = settings
        self._wait, self._most, self._watch = wait, queue, watch
        self._lanes: dict[_Place, Lane] = {}
        self._where: dict[str, _Place] = {}
        self._changing = threading.Lock()
        """Held while fleets are made, which takes long; `_lock` only while they change places: callers wait for it."""
        self._lock = threading.Lock()

    def put(self, models: Mapping[str, Model], trunk: Trunk, way: Way | None = None) -> None:
        """Add models on one trunk, or swap those of the same key; requests that came before keep the models they met.

        Args:
            models: Key -> model.
            trunk: Their trunk; opened when it is the first time.
            way: Runtime and precision to run it in (`precision.way_for`); None: float32. Each is a lane of its own.

        Raises:
            ValueError: When a model is of another trunk.
        """
        digest = trunk.card.digest
        place = (digest, way)
        with self._changing:
            lane = self._lanes.get(place)
            fleet = (lane.fleet if lane else Fleet(digest, folder=self.settings.home / "engine")).changed(models)
            moved = {key: self._where[key] for key in models if self._where.get(key, place) != place}
            rest = self._without(moved)
            with self._lock:
                if lane is None:
                    lane = self._lanes[place] = Lane(trunk, self.settings, self._wait, self._most, self._watch, way)
                lane.fleet = fleet
                self._where.update(dict.fromkeys(models, place))
                closed = self._keep(rest)
        for other in closed:
            other.close()

    def remove(self, keys: Iterable[str]) -> None:
        """Take models out; a trunk that nobody needs any more is released when its last request is answered.

        Raises:
            NotFoundError: On a key that is not here; nothing is removed then.
        """
        with self._changing:
            places = {key: self._place(key) for key in keys}
            rest = self._without(places)
            with self._lock:
                for key in places:
                    del self._where[key]
                closed = self._keep(rest)
        for lane in closed:
            lane.close()

    def _without(self, places: Mapping[str, _Place]) -> dict[_Place, Fleet]:
        """What is left of the fleets from which models go."""
        return {
            left: self._lanes[left].fleet.changed({}, without=[key for key, place in places.items() if place == left])
            for left in set(places.values())
        }

    def _keep(self, rest: Mapping[_Place, Fleet]) -> list[Lane]:
        """Put fleets in their lanes; lanes without any are taken out, for the caller to close."""
        for place, fleet in rest.items():
            self._lanes[place].fleet = fleet
        return [self._lanes.pop(place) for place, fleet in rest.items() if not fleet]

    def _place(self, key: str) -> _Place:
        try:
            return self._where[key]
        except KeyError:
            raise NotFoundError("model", key, self._where) from None

    @property
    def models(self) -> dict[str, Model]:
        """All models by key."""
        with self._lock:
            return {key: model for lane in self._lanes.values() for key, model in lane.fleet.items()}

    def ask(self, image: Image.Image | Callable[[], Image.Image], keys: Sequence[str]) -> Future[Answer]:
        """Ask models on one trunk about an image, without waiting.

        Args:
            image: RGB, or what gives it, which is called in a thread of the engine when the image's turn has come; an
                error that it raises is the answer's.
            keys: The models; they must share a trunk.

        Raises:
            NotFoundError: On a key that is not here, with near ones.
            BusyError: When too many images wait.
        """
        while True:
            with self._lock:
                places = {self._place(key) for key in keys}
                if len(places) != 1:
                    raise ValueError(f"expected models on one trunk in one precision, got {len(places)}")
                lane = self._lanes[places.pop()]
                fleet = lane.fleet
            with suppress(NotFoundError):  # the lane was closed meanwhile; its models are elsewhere, or gone
                return lane.add(Request(_picture(image, lane.trunk), tuple(keys), fleet))

    def close(self) -> None:
        """Answer what waits, then release all trunks."""
        with self._changing, self._lock:
            lanes, self._lanes, self._where = list(self._lanes.values()), {}, {}
        for lane in lanes:
            lane.close()


def _picture(image: Image.Image | Callable[[], Image.Image], trunk: Trunk) -> Callable[[], np.ndarray]:
    """What gives an image as the trunk takes it."""
    from trunkline.algorithms.trunks import preprocess

    if callable(image):
        return lambda: preprocess(image(), trunk.card)
    pixels = preprocess(image, trunk.card)  # in the caller's thread
    return lambda: pixels
