"""Requests under way, the bytes that they brought, pixels in work: bounds that hold for all clients together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from trunkline.service.refusals import busy

if TYPE_CHECKING:
    from trunkline.service.limits import Limits


_SMALL = 4_000_000
"""Pixels of a picture whose decoding takes so little memory that it is not counted."""


class Room:
    """Places for requests; used on the event loop alone.

    Attributes:
        requests: Requests under way.
        held: Bytes of their bodies.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        self.held = 0

    def seat(self) -> Seat:
        """A place for one request.

        Raises:
            Refusal: When there is none.
        """
        if self.requests >= self.limits.requests:
            raise busy(f"{self.requests} requests are under way already; ask again in a second")
        return Seat(self)


class Seat:
    """One request's place, until this context ends."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0
        room.requests += 1

    def take(self, count: int) -> None:
        """Hold so many more bytes.

        Raises:
            Refusal: When all requests together would hold too many.
        """
        if self._room.held + count > self._room.limits.held_bytes:
            raise busy(f"requests under way hold {self._room.held:,} bytes already; ask again in a second")
        self._room.held += count
        self._bytes += count

    def __enter__(self) -> Seat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.held -= self._bytes
        self._room.requests -= 1


class Pixels:
    """Pixels of large pictures that are decoded at the same time: no more than the largest picture has.

    Args:
        most: Pixels.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, count: int) -> Iterator[None]:
        """Hold so many; waits until there is room. Small pictures never wait."""
        if count <= _SMALL:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + count <= self._most)
            self._held += count
        try:
            yield
        finally:
            with self._changed:
                self._held -= count
                self._changed.notify_all()
