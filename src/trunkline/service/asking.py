"""From a request's bytes to answers: large ones are read in a few threads, the engine decodes and answers images."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import BusyError, DataError
from trunkline.core.images import decode as decode_image
from trunkline.service.answers import Body, check_wanted, encode
from trunkline.service.protocol import InferRequest, decode
from trunkline.service.room import Pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.core.settings import Settings
    from trunkline.platform.engine.engine import Engine
    from trunkline.platform.engine.lane import Answer
    from trunkline.service.limits import Limits
    from trunkline.service.served import Served

_SMALL = 4_096
"""Bytes of JSON that are read, and scores of an answer that is made, on the event loop; more would hold up others."""
_COPIED = 1 << 20
"""Bytes of a body of which parts are copied there."""


@dataclass(frozen=True)
class Reply:
    """An answer, and on how many images."""

    body: Body
    images: int


class Asker:
    """Answers requests.

    Args:
        engine: The models.
        settings: Threads and largest image.
        limits: Images in a request, and of all that wait.
    """

    def __init__(self, engine: Engine, settings: Settings, limits: Limits) -> None:
        self.engine = engine
        self.limits = limits
        self.max_pixels = settings.max_pixels
        self.pixels = Pixels(settings.max_pixels)
        self.pool = ThreadPoolExecutor(settings.threads, "large")
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Images that wait for their answers."""
        return self._waiting

    def ask(self, served: Served, body: bytearray, header_length: str | None) -> Job:
        """Begin to answer a request; the caller holds the lease on the model until the job has ended."""
        job = Job(self, served, asyncio.get_running_loop())
        if len(body) <= _COPIED and (_digits(header_length) or len(body)) <= _SMALL:
            job.begin(body, header_length)
        else:
            self.pool.submit(job.begin, body, header_length)
        return job

    def reserve(self, images: int) -> None:
        """Take places for images.

        Raises:
            BusyError: When there are not so many.
        """
        with self._lock:
            if self._waiting + images > self.limits.waiting:
                raise BusyError(f"{self._waiting} images wait already", fix="ask again in a second")
            self._waiting += images

    def give_back(self) -> None:
        """Free the place of one image."""
        with self._lock:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)


class Job:
    """One request under way. Every image of it gives its place back once, whatever becomes of it.

    Attributes:
        reply: Gets the answer, or the error.
        ended: Done when no image of it is in a thread or in the engine any more.
    """

    def __init__(self, asker: Asker, served: Served, loop: asyncio.AbstractEventLoop) -> None:
        self.reply: asyncio.Future[Reply] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._asker = asker
        self._served = served
        self._loop = loop
        self._lock = threading.Lock()
        self._over = False
        self._futures: list[Future[Answer] | None] = []
        self._left = 0
        self._request: InferRequest | None = None

    def begin(self, body: bytearray, header_length: str | None) -> None:
        """Read the request and hand its images to the engine; in a thread of the pool, or on the event loop."""
        try:
            if self._over:
                return self._tell(self._end)
            request = decode(body, header_length, most=self._asker.limits.images)
            check_wanted(self._served, request.outputs)
            self._asker.reserve(len(request.pictures))
        except BaseException as error:  # the caller waits for it  # noqa: BLE001
            self._fail(error)
            return self._tell(self._end)
        self._request, self._left = request, len(request.pictures)
        self._futures = [None] * self._left
        for number in range(len(request.pictures)):
            self._one(number)
        return None

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        with self._lock:
            self._over = True
            futures = [future for future in self._futures if future is not None]
        for future in futures:
            future.cancel()

    def _one(self, number: int) -> None:
        """Hand one image to the engine."""
        try:
            if self._over or self._request is None:
                return self._done()
            future = self._asker.engine.ask(partial(self._wanted, number), [self._served.digest])
        except BaseException as error:  # as above  # noqa: BLE001
            self._fail(error)
            return self._done()
        with self._lock:
            self._futures[number] = future
            over = self._over
        if over:
            future.cancel()
        return future.add_done_callback(self._answered)

    def _wanted(self, number: int) -> Image.Image:
        """An image, decoded in a thread of the engine.

        Raises:
            CancelledError: When nobody waits for the answer any more.
            DataError: When it cannot be read.
        """
        request = self._request
        if not self._over and request is not None:
            image = self._image(request.pictures[number], number, len(request.pictures))
            if not self._over:
                return image
        raise CancelledError

    def _image(self, picture: bytes | np.ndarray, number: int, count: int) -> Image.Image:
        """An image as RGB.

        Raises:
            DataError: When it cannot be read, saying which of how many.
        """
        from PIL import Image

        where = f"image {number + 1} of {count}"
        if not isinstance(picture, bytes):
            height, width = picture.shape[:2]
            if height * width > self._asker.max_pixels:
                raise DataError(
                    f"expected at most {self._asker.max_pixels:,} pixels, got {width} x {height}", where=where
                )
            return Image.fromarray(picture)
        try:
            return decode_image(picture, max_pixels=self._asker.max_pixels, room=self._asker.pixels.of)
        except DataError as error:
            raise DataError(error.message, where=where, fix=error.fix) from error

    def _answered(self, future: Future[Answer]) -> None:
        """In a thread of the engine, or in one that cancels."""
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._fail(error)
        self._done()

    def _done(self) -> None:
        """One image has come to its end."""
        self._asker.give_back()
        with self._lock:
            self._left -= 1
            last = not self._left
        if not last:
            return
        if self._over:
            self._request = None  # its place is free now; the engine's queue may hold on to this job for a while
            self._tell(self._end)
        else:
            self._tell(partial(self._finish, [future.result() for future in self._futures if future is not None]))

    def _finish(self, answers: Sequence[Answer]) -> None:
        """Make the answer, on the event loop; a large one in the pool."""
        self._end()
        if self.reply.done() or self._request is None:
            return
        if len(answers) * len(self._served.labels) <= _SMALL:
            _settle(self.reply, self._result(answers))
        else:
            self._asker.pool.submit(lambda: self._tell(partial(_settle, self.reply, self._result(answers))))

    def _result(self, answers: Sequence[Answer]) -> Reply | BaseException:
        try:
            return self._encoded(answers)
        except BaseException as error:  # as above  # noqa: BLE001
            return error

    def _encoded(self, answers: Sequence[Answer]) -> Reply:
        request, key = self._request, self._served.digest
        assert request is not None  # noqa: S101 (for the type checker: `begin` has set it)
        body = encode(
            self._served, answers[0].models[key].bundle, [answer.scores[key] for answer in answers], id=request.id,
            wanted=request.outputs, binary=request.binary,
        )  # fmt: skip
        return Reply(body, len(answers))

    def _fail(self, error: BaseException) -> None:
        self.cancel()
        if not isinstance(error, CancelledError):
            self._tell(partial(_settle, self.reply, error))

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _tell(self, what: Callable[[], Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(what)


def _digits(text: str | None) -> int:
    return int(text) if text and len(text) < 10 and text.isdecimal() and text.isascii() else 0


def _settle(future: asyncio.Future[Reply], result: Reply | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
