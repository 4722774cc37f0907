"""One trunk at work for whoever asks: requests wait in a queue, a thread runs the trunk on them, another the heads.

While the heads are at one batch, the trunk is at the next. A batch is what waits when the trunk becomes free, so that
company costs no time of its own; `wait` lets the first of a batch wait a little longer for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trunkline.compute.chips.blas import Blas
from trunkline.core.errors import BusyError, NotFoundError
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.predictor import TOGETHER, features_of

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.core.settings import Settings
    from trunkline.core.types.features import FeatureTable

WAIT = 0.0
"""Seconds that an image waits for company while the trunk is free."""
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
class Request:
    """One image for some models, with the fleet as it was when the request came in.

    Attributes:
        pixels: Preprocessed, uint8 of shape (size, size, 3).
        keys: The models.
        fleet: Where they are.
        future: Gets the answer, or the error.
    """

    pixels: np.ndarray
    keys: tuple[str, ...]
    fleet: Fleet
    future: Future[Answer] = field(default_factory=Future)


class Lane:
    """A trunk, held open, with its two threads.

    Args:
        trunk: The trunk.
        settings: Threads, batch size, runtime.
        wait: Seconds that an image waits for others while the trunk is free.
        most: Images that may wait.

    Attributes:
        fleet: The models that requests are made with; whoever changes them puts another fleet here.
    """

    def __init__(self, trunk: Trunk, settings: Settings, wait: float, most: int) -> None:
        self.trunk = trunk
        self.fleet = Fleet(trunk.card.digest)
        self._settings, self._wait, self._most = settings, wait, most
        self._size = max(TOGETHER, settings.batch * settings.threads)
        self._blas = Blas(settings.threads)
        self._sessions: dict[bool, TrunkSession] = {}
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._embedded: queue.Queue[tuple[list[Request], FeatureTable] | None] = queue.Queue(1)
        name = trunk.card.name
        self._threads = [
            threading.Thread(target=work, name=f"{what} {name}", daemon=True)
            for what, work in (("trunk", self._run_trunk), ("heads", self._run_heads))
        ]
        for thread in self._threads:
            thread.start()

    def add(self, request: Request) -> Future[Answer]:
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

    @property
    def waiting(self) -> int:
        """Images that wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Answer what waits, then free the trunk."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    def _run_trunk(self) -> None:
        try:
            while batch := self._next():
                alive = [request for request in batch if request.future.set_running_or_notify_cancel()]
                if alive:
                    self._embed(alive)
        finally:
            self._embedded.put(None)
            for session in self._sessions.values():
                session.close()

    def _next(self) -> list[Request]:
        """The next batch: what waits, or comes within the time that the first may wait; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            end = time.monotonic() + self._wait
            while len(self._waiting) < self._size and not self._closing:
                if not self._changed.wait(max(0.0, end - time.monotonic())):
                    break
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]

    def _embed(self, batch: list[Request]) -> None:
        try:
            dense = any(bool(request.fleet.dense) for request in batch)
            table = features_of(self._session(dense), self.trunk, [request.pixels for request in batch])
        except BaseException as error:  # callers wait for it; the lane lives on for the next batch  # noqa: BLE001
            _fail(batch, error)
        else:
            self._embedded.put((batch, table))

    def _session(self, dense: bool) -> TrunkSession:
        from trunkline.algorithms.trunks import open_trunk

        if dense not in self._sessions:
            self._sessions[dense] = open_trunk(self.trunk, self._settings, dense=dense)
        return self._sessions[dense]

    def _run_heads(self) -> None:
        while (embedded := self._embedded.get()) is not None:
            batch, table = embedded
            try:
                self._answer(batch, table)
            except BaseException as error:  # as in `_embed`  # noqa: BLE001
                _fail(batch, error)
            del embedded, batch, table  # nothing of the last batch is held while waiting for the next

    def _answer(self, batch: Sequence[Request], table: FeatureTable) -> None:
        """Every fleet of the batch in one go; a request is answered by its own models alone."""
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
                scores = {key: answers[key].take([at]) for key in request.keys}
                request.future.set_result(Answer(scores, {key: fleet[key] for key in request.keys}))


def _fail(batch: Sequence[Request], error: BaseException) -> None:
    for request in batch:
        with suppress(InvalidStateError):
            request.future.set_exception(error)
