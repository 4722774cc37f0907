"""The engine: models that serve, one trunk pass an image whoever asks; models come and go while it answers.

A lane for each trunk holds it open, gathers what callers bring for at most `wait` seconds, runs the trunk once on all
of it and all models that were asked for in a few matrix products. A request is answered by the models as they were
when it came in, whatever is added, swapped or removed before its turn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trunkline.compute.chips.blas import Blas
from trunkline.core.errors import BusyError, NotFoundError
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.predictor import features_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.heads.base import Scores
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.core.settings import Settings

WAIT = 0.004
"""Seconds that an image waits for company, a third of what a trunk takes on it."""
QUEUE = 256
"""Images that may wait in a lane: a few seconds of work. Who comes then is told to come again."""


@dataclass(frozen=True)
class Answer:
    """What models say of one image.

    Attributes:
        scores: Key -> answers, of one row each.
        models: Key -> the model that gave it.
    """

    scores: Mapping[str, Scores]
    models: Mapping[str, Model]


@dataclass
class _Request:
    pixels: np.ndarray
    keys: tuple[str, ...]
    fleet: Fleet
    future: Future[Answer] = field(default_factory=Future)


class Engine:
    """Models on any number of trunks, asked by any number of threads.

    Args:
        settings: Threads, batch size, runtime.
        wait: Seconds that an image waits for others, at the most.
        queue: Images that may wait for each trunk.
    """

    def __init__(self, settings: Settings, *, wait: float = WAIT, queue: int = QUEUE) -> None:
        self.settings = settings
        self._wait, self._most = wait, queue
        self._lanes: dict[str, _Lane] = {}
        self._where: dict[str, str] = {}
        self._lock = threading.Lock()

    def put(self, models: Mapping[str, Model], trunk: Trunk) -> None:
        """Add models on one trunk, or swap those of the same key; requests that came before keep the models they met.

        Args:
            models: Key -> model.
            trunk: Their trunk; opened when it is the first time.

        Raises:
            ValueError: When a model is of another trunk.
        """
        digest = trunk.card.digest
        with self._lock:
            lane = self._lanes.get(digest)
            fleet = (lane.fleet if lane else Fleet(digest)).changed(models)
            if lane is None:
                lane = self._lanes[digest] = _Lane(trunk, self.settings, self._wait, self._most)
            lane.fleet = fleet
            moved = {key: self._where[key] for key in models if self._where.get(key, digest) != digest}
            self._where.update(dict.fromkeys(models, digest))
            closed = self._drop(moved)
        for other in closed:
            other.close()

    def remove(self, keys: Iterable[str]) -> None:
        """Take models out; a trunk that nobody needs any more is released when its last request is answered.

        Raises:
            NotFoundError: On a key that is not here; nothing is removed then.
        """
        with self._lock:
            places = {key: self._place(key) for key in keys}
            for key in places:
                del self._where[key]
            closed = self._drop(places)
        for lane in closed:
            lane.close()

    def _drop(self, places: Mapping[str, str]) -> list[_Lane]:
        closed = []
        for digest in set(places.values()):
            lane = self._lanes[digest]
            lane.fleet = lane.fleet.changed({}, without=[key for key, place in places.items() if place == digest])
            if not lane.fleet:
                closed.append(self._lanes.pop(digest))
        return closed

    def _place(self, key: str) -> str:
        try:
            return self._where[key]
        except KeyError:
            raise NotFoundError("model", key, self._where) from None

    @property
    def models(self) -> dict[str, Model]:
        """All models by key."""
        with self._lock:
            return {key: model for lane in self._lanes.values() for key, model in lane.fleet.items()}

    def ask(self, image: Image.Image, keys: Sequence[str]) -> Future[Answer]:
        """Ask models on one trunk about an image, without waiting.

        Args:
            image: RGB.
            keys: The models; they must share a trunk.

        Raises:
            NotFoundError: On a key that is not here, with near ones.
            BusyError: When too many images wait.
        """
        from trunkline.algorithms.trunks import preprocess

        with self._lock:
            digests = {self._place(key) for key in keys}
            if len(digests) != 1:
                raise ValueError(f"expected models on one trunk, got {len(digests)}")
            lane = self._lanes[digests.pop()]
            fleet = lane.fleet
        pixels = preprocess(image, lane.trunk.card)  # in the caller's thread
        return lane.add(_Request(pixels, tuple(keys), fleet))

    def close(self) -> None:
        """Answer what waits, then release all trunks."""
        with self._lock:
            lanes, self._lanes, self._where = list(self._lanes.values()), {}, {}
        for lane in lanes:
            lane.close()


class _Lane:
    """One trunk at work, in a thread of its own."""

    def __init__(self, trunk: Trunk, settings: Settings, wait: float, most: int) -> None:
        self.trunk = trunk
        self.fleet = Fleet(trunk.card.digest)
        self._settings, self._wait, self._most = settings, wait, most
        self._blas = Blas(settings.threads)
        self._sessions: dict[bool, TrunkSession] = {}
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"trunk {trunk.card.name}", daemon=True)
        self._thread.start()

    def add(self, request: _Request) -> Future[Answer]:
        """Put a request in the queue.

        Raises:
            BusyError: When it is full.
            NotFoundError: When the lane was closed meanwhile.
        """
        with self._changed:
            if self._closing:
                raise NotFoundError("model", request.keys[0], ())
            if len(self._waiting) >= self._most:
                raise BusyError(f"{self._most} images wait already", fix="ask again in a second")
            self._waiting.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Answer what waits, then free the trunk."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        try:
            while batch := self._next():
                self._answer([request for request in batch if request.future.set_running_or_notify_cancel()])
        finally:
            for session in self._sessions.values():
                session.close()

    def _next(self) -> list[_Request]:
        """The next batch: full, or as many as came within the time that the first may wait; empty at the end."""
        size = self._settings.batch * self._settings.threads
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            end = time.monotonic() + self._wait
            while len(self._waiting) < size and not self._closing:
                if not self._changed.wait(max(0.0, end - time.monotonic())):
                    break
            return [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]

    def _answer(self, batch: Sequence[_Request]) -> None:
        try:
            dense = any(bool(request.fleet.dense) for request in batch)
            table = features_of(self._session(dense), self.trunk, [request.pixels for request in batch])
            fleets: dict[int, list[int]] = {}
            for row, request in enumerate(batch):
                fleets.setdefault(id(request.fleet), []).append(row)
            for rows in fleets.values():
                asked = dict.fromkeys(key for row in rows for key in batch[row].keys)
                fleet = batch[rows[0]].fleet
                part = table if len(rows) == len(batch) else table.take(rows)
                with self._blas.limit(len(asked) * len(rows)):
                    answers = fleet.answers(part, None if len(asked) == len(fleet) else asked)
                for at, row in enumerate(rows):
                    request = batch[row]
                    request.future.set_result(
                        Answer(
                            {key: answers[key].take([at]) for key in request.keys},
                            {key: fleet[key] for key in request.keys},
                        )
                    )
        except BaseException as error:  # callers wait for it; the lane lives on for the next batch  # noqa: BLE001
            for request in batch:
                with suppress(InvalidStateError):
                    request.future.set_exception(error)

    def _session(self, dense: bool) -> TrunkSession:
        from trunkline.algorithms.trunks import open_trunk

        if dense not in self._sessions:
            self._sessions[dense] = open_trunk(self.trunk, self._settings, dense=dense)
        return self._sessions[dense]
