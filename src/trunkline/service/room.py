"""How many requests are under way and how many bytes they brought: bounds that hold for all clients together."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from trunkline.service.refusals import busy

if TYPE_CHECKING:
    from trunkline.service.limits import Limits


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
