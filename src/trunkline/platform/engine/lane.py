"""One trunk at work for whoever asks: requests wait in a queue, workers decode and embed, a thread runs the heads.

While the heads are at one batch, the trunk is at the next. A batch is what waits when a stream of the trunk becomes
free, so that company costs no time of its own; `wait` lets the first of a batch wait a little longer for it.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from trunkline.compute.chips.blas import Blas
from trunkline.core.errors import BusyError, NotFoundError
from trunkline.core.types.features import FeatureTable
from trunkline.platform.engine.fleet import Answers, Fleet, Model
from trunkline.platform.engine.predictor import TOGETHER, features_of

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings

V = TypeVar("V")
Watch = Callable[[int, float], None]
_MORE = 2
"""Workers beside those that wait for a stream of the trunk: one to decode, one whose batch is next where some wait."""
_PATIENCE = 0.05  # seconds; what is waited for may have failed
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
        picture: Gives the image preprocessed, uint8 of shape (size, size, 3); called in a thread of the lane.
        keys: The models.
        fleet: Where they are.
        future: Gets the answer, or the error.
        since: When it came, by the monotonic clock.
    """

    picture: Callable[[], np.ndarray]
    keys: tuple[str, ...]
    fleet: Fleet
    future: Future[Answer] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


_Embedded = tuple[list[Request], FeatureTable]
"""Requests with the features of their images."""
_Ready = tuple[Request, "np.ndarray"]
"""A request whose image is decoded."""


class Lane:
    """A trunk, held open, with the threads that work at it.

    Each worker decodes an image or runs the trunk, whichever brings the oldest images on their way; there are more
    workers than threads, as those that wait for the trunk take no core. Where the runtime has several streams, a worker
    takes one, and no image waits for another to end; an image that is alone has all of them.

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
        self._blas = Blas(settings.threads)
        self._sessions: dict[bool, TrunkSession] = {}
        self._opening = threading.Lock()
        self._waiting: deque[Request] = deque()
        self._ready: deque[_Ready] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._streams = 1  # known once the trunk is open
        self._decoding, self._running, self._alone = 0, 0, False
        self._embedded: queue.Queue[_Embedded | None] = queue.Queue(2 * settings.threads)
        name = trunk.card.name
        self._workers = [
            threading.Thread(target=self._run_worker, name=f"trunk {name}", daemon=True)
            for _ in range(settings.threads + _MORE)
        ]
        self._heads = threading.Thread(target=self._run_heads, name=f"heads {name}", daemon=True)
        for thread in (*self._workers, self._heads):
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
            if self.waiting >= self._most:
                raise BusyError(f"{self._most} images wait already", fix="ask again in a second")
            self._waiting.append(request)
            self._changed.notify_all()
        return request.future

    @property
    def waiting(self) -> int:
        """Images that wait for the trunk."""
        return len(self._waiting) + self._decoding + len(self._ready)

    def close(self) -> None:
        """Answer what waits, then free the trunk."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._workers:
            thread.join()
        self._embedded.put(None)
        self._heads.join()
        for session in self._sessions.values():
            session.close()

    def _run_worker(self) -> None:
        while work := self._next():
            work()
            del work  # nothing of it is held while waiting for the next

    def _next(self) -> Callable[[], None] | None:
        """What to do next; None at the end."""
        with self._changed:
            while True:
                if self._may_run():
                    return self._run()
                if self._waiting and len(self._ready) < max(self._size(), self._streams):
                    self._decoding += 1
                    return partial(self._decode, self._waiting.popleft())
                if self._closing and not self.waiting:
                    return None
                self._changed.wait(self._wait if self._ready and self._wait else None)

    def _may_run(self) -> bool:
        """Whether a batch is ready, and a stream for it."""
        many = self._streams > 1 and self.waiting >= 2 * self._streams  # then one more is there when a stream ends
        if not self._ready or self._alone or self._running >= self._streams + many:
            return False
        if self._wait and self.waiting < TOGETHER and not self._closing:
            return time.monotonic() >= self._ready[0][0].since + self._wait
        return len(self._ready) >= min(self._size(), -(-self.waiting // self._streams))

    def _size(self) -> int:
        """Images that one batch takes at the most; two in a stream cost a little less CPU, but wait for each other."""
        return max(TOGETHER, self._settings.batch) if self._streams == 1 else 1 + (self.waiting >= TOGETHER)

    def _run(self) -> Callable[[], None]:
        self._alone = self.waiting == 1 and not self._running
        self._running += 1
        count = min(self._size(), len(self._ready))
        return partial(self._embed, [self._ready.popleft() for _ in range(count)], alone=self._alone)

    def _decode(self, request: Request) -> None:
        pixels = None
        try:
            if request.future.set_running_or_notify_cancel():
                pixels = request.picture()
        except BaseException as error:  # its caller waits for it; the lane lives on for the others  # noqa: BLE001
            _fail([request], error)
        with self._changed:
            self._decoding -= 1
            if pixels is not None:
                self._ready.append((request, pixels))
            self._changed.notify_all()

    def _embed(self, ready: Sequence[_Ready], *, alone: bool) -> None:
        batch = [request for request, _ in ready]
        try:
            dense = any(bool(request.fleet.dense) for request in batch)
            session, start = self._session(dense), time.monotonic()
            pixels = [pixels for _, pixels in ready]
            table = features_of(session, self.trunk, pixels, whole=alone or self._streams == 1)
            self._watch(len(batch), time.monotonic() - start)
        except BaseException as error:  # as in `_decode`  # noqa: BLE001
            _fail(batch, error)
        else:
            self._embedded.put((batch, table))
        finally:
            with self._changed:
                self._running -= 1
                self._alone = False
                self._changed.notify_all()

    def _session(self, dense: bool) -> TrunkSession:
        from trunkline.algorithms.trunks import open_trunk

        with self._opening:
            if dense not in self._sessions:
                self._sessions[dense] = open_trunk(self.trunk, self._settings, dense=dense, way=self._way)
                self._streams = self._sessions[dense].streams
            return self._sessions[dense]

    def _run_heads(self) -> None:
        while (first := self._embedded.get()) is not None:
            self._answer_all([first, *self._more(len(first[0]))])
            del first  # nothing of it is held while waiting for the next

    def _answer_all(self, parts: Sequence[_Embedded]) -> None:
        try:
            for batch, table in _joined(parts):
                self._answer(batch, table)
        except BaseException as error:  # as in `_decode`  # noqa: BLE001
            for batch, _ in parts:
                _fail(batch, error)  # those that are answered keep their answers

    def _more(self, count: int) -> list[_Embedded]:
        """What was embedded meanwhile; while many images wait, also what will be, up to `TOGETHER` images."""
        more: list[_Embedded] = []
        while count < TOGETHER:
            many = self.waiting >= TOGETHER
            try:
                one = self._embedded.get(block=many, timeout=_PATIENCE if many else None)
            except queue.Empty:
                break
            if one is None:
                self._embedded.put(None)
                break
            more.append(one)
            count += len(one[0])
        return more

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


def _joined(parts: Sequence[_Embedded]) -> list[_Embedded]:
    """Batches with the same features as one."""
    import numpy as np

    groups: dict[tuple[str, ...], list[_Embedded]] = {}
    for part in parts:
        groups.setdefault(tuple(part[1].dense), []).append(part)
    joined = []
    for taps, same in groups.items():
        if len(same) == 1:
            joined += same
            continue
        tables = [table for _, table in same]
        batch = [request for requests, _ in same for request in requests]
        dense = {tap: np.concatenate([table.dense[tap] for table in tables]) for tap in taps}
        pooled = np.concatenate([table.pooled for table in tables])
        joined.append((batch, FeatureTable(("",) * len(batch), pooled, tables[0].trunk, dense)))
    return joined


def _fail(batch: Sequence[Request], error: BaseException) -> None:
    _let_go(error)
    for request in batch:
        with suppress(InvalidStateError):
            request.future.set_exception(error)


def _let_go(error: BaseException) -> None:
    """Free what the calls that failed held: an error holds their frames, and a future the error, in a circle.

    Decoded pictures would stay in memory until the garbage collector next looks at everything.
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__ or error
