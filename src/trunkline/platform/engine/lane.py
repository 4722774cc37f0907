"""One trunk at work for whoever asks: requests wait in a queue, a thread runs the trunk on them, another the heads.

While the heads are at one batch, the trunk is at the next. A batch is what waits when the trunk becomes free, so that
company costs no time of its own; `wait` lets the first of a batch wait a little longer for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from trunkline.compute.chips.blas import Blas
from trunkline.core.errors import BusyError, NotFoundError
from trunkline.platform.engine.fleet import Answers, Fleet, Model
from trunkline.platform.engine.predictor import TOGETHER, features_of

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings
    from trunkline.core.types.features import FeatureTable

V = TypeVar("V")
Watch = Callable[[int, float], None]
WAIT = 0.0
"""Seconds that an image waits for company while the trunk is free."""
QUEUE = 256
"""Images that may wait in a lane: a few seconds of work. Who comes then is told to come again."""


class Answer:
    """What models say of one image; taken from the arrays of its batch when it is looked at.

    Args:
        keys: The models that were asked.
        fleet: Where they are.
        answers: What they say of a batch.
        row: The image's place in the batch.

    Attributes:
        scores: Key -> answers, of one row each.
        models: Key -> the model that gave it.
    """

    def __init__(self, keys: Sequence[str], fleet: Fleet, answers: Answers, row: int) -> None:
        self.scores: Mapping[str, Scores] = _Looked(keys, lambda key: answers[key].take([row]))
        self.models: Mapping[str, Model] = _Looked(keys, fleet.__getitem__)


class _Looked(Mapping[str, V]):
    """A mapping whose values are made when they are looked at."""

    def __init__(self, keys: Sequence[str], value: Callable[[str], V]) -> None:
        self._keys, self._value = keys, value

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __getitem__(self, key: str) -> V:
        if key not in self._keys:
            raise KeyError(key)
        return self._value(key)


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
        watch: Told of each run of the trunk: images and seconds.
        way: Runtime and precision of the trunk; None: as features are made.

    Attributes:
        fleet: The models that requests are made with; whoever changes them puts another fleet here.
    """

    def __init__(
        self, trunk: Trunk, settings: Settings, wait: float, most: int, watch: Watch, way: Way | None = None
    ) -> None:
        self.trunk = trunk
        self._way = way
        self.fleet = Fleet(trunk.card.digest)
        self._settings, self._wait, self._most, self._watch = settings, wait, most, watch
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
            session, start = self._session(dense), time.monotonic()
            table = features_of(session, self.trunk, [request.pixels for request in batch])
            self._watch(len(batch), time.monotonic() - start)
        except BaseException as error:  # callers wait for it; the lane lives on for the next batch  # noqa: BLE001
            _fail(batch, error)
        else:
            self._embedded.put((batch, table))

    def _session(self, dense: bool) -> TrunkSession:
        from trunkline.algorithms.trunks import open_trunk

        if dense not in self._sessions:
            self._sessions[dense] = open_trunk(self.trunk, self._settings, dense=dense, way=self._way)
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
            with self._blas.limit(1):  # the other cores are the trunk's, which is at the next batch
                answers = fleet.answers(part, None if len(asked) == len(fleet) else asked)
            for at, row in enumerate(rows):
                batch[row].future.set_result(Answer(batch[row].keys, fleet, answers, at))


def _fail(batch: Sequence[Request], error: BaseException) -> None:
    for request in batch:
        with suppress(InvalidStateError):
            request.future.set_exception(error)
