"""Connections: what uvicorn's protocol leaves open is bounded here.

A connection that sends nothing, or its request too slowly, is closed after a time; above a number of connections the
one that was silent for longest is closed for each that comes. The head of a request, and what stands round the parts of
its body, has a largest size. Who is refused before the whole body was read may send the rest, which nobody keeps, for a
while: a connection that is closed at once would be reset before the client reads why.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from trunkline.service.limits import Limits
    from trunkline.service.metrics import Metrics

_PART = 16
"""Bytes of a body for each byte that may stand round its parts (chunk sizes)."""
_AT_ONCE = 16
"""Requests of one connection that may wait for their turn; nobody reads on meanwhile, but one read brings thousands."""


class Crowd:
    """All connections of a server.

    Attributes:
        silent: Those without a request under way, the one first that was silent for longest.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.metrics = metrics
        self.open: set[Connection] = set()
        self.silent: dict[Connection, None] = {}
        metrics.gauge("connections", "Open connections.", lambda: len(self.open))

    def protocol(self, **options: Any) -> Connection:
        """A protocol for a new connection, as uvicorn asks for it."""
        return Connection(self, **options)

    def add(self, connection: Connection) -> None:
        """One more; above the bound another one goes, or the new one where all are at work."""
        self.open.add(connection)
        self.silent[connection] = None
        if len(self.open) > self.limits.connections:
            next(iter(self.silent)).end("crowded")

    def remove(self, connection: Connection) -> None:
        """One less."""
        self.open.discard(connection)
        self.silent.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, crowd: Crowd, **options: Any) -> None:
        super().__init__(**options)
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._round = self._body = self._part = 0
        self._complete = True  # the request that came last, if any
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        super().connection_made(transport)
        self._within(self._crowd.limits.header_seconds, "silent")
        self._crowd.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset()
        self._crowd.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # refused; what still comes is of no use
            return
        if self._complete and self._timer is None:  # the next request of this connection begins
            self._within(self._crowd.limits.header_seconds, "slow")
        self._part = 0
        super().data_received(data)
        self._round += len(data) - self._part
        if self._round > self._crowd.limits.header_bytes + self._body // _PART and not self.transport.is_closing():
            self._crowd.metrics.rejected("too large")
            self._refuse(431, f"expected a head of at most {self._crowd.limits.header_bytes:,} bytes")

    def on_message_begin(self) -> None:
        self._round = self._body = 0
        self._complete = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unset()
        self._crowd.silent.pop(self, None)
        super().on_headers_complete()
        self.cycle.transport = _Patient(self)  # type: ignore[assignment]  # the little of it that a cycle uses
        if len(self.pipeline) > _AT_ONCE:
            self.end("crowded")
            raise ValueError("too many requests at once")  # ends the parser's work on what was read

    def on_body(self, body: bytes) -> None:
        self._part += len(body)
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._complete = True
        if self.cycle.response_complete:
            self._unset()
        super().on_message_complete()
        if self._leaving:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or self.pipeline:
            return
        self._crowd.silent[self] = None
        if not self._complete:
            self._within(self._crowd.limits.header_seconds, "slow")

    def timeout_keep_alive_handler(self) -> None:
        self.end("idle")

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        self._crowd.metrics.rejected("invalid")
        self._refuse(400, f"expected a request of HTTP 1.1: {msg}")

    def end(self, reason: str) -> None:
        """Close at once, whatever is still to be sent."""
        self._crowd.metrics.closed(reason)
        self._crowd.remove(self)
        self.transport.abort()

    def leave(self) -> None:
        """Close, but not before the client has sent what it was about to send: nothing of it is kept."""
        if self._complete or self.transport.is_closing():
            self.transport.close()
        else:
            self._leaving = True
            self.transport.write_eof()

    def _within(self, seconds: float, reason: str) -> None:
        self._unset()
        self._timer = self.loop.call_later(seconds, self.end, reason)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read as a request, and close."""
        body = json.dumps({"error": message}).encode()
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


class _Patient:
    """The transport as a request's cycle sees it: closing waits for the end of the request, a head for its body.

    A connection that is closed with bytes unread is reset, and the client may never see the answer. A head that is sent
    with what follows it at once costs one system call less, and its client one wake-up.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._head: bytes | None = b""
        """What is held; None once the head is sent."""

    def write(self, data: bytes) -> None:
        """Send; the head with what comes next."""
        if self._head is None:
            self._connection.transport.write(data)
        elif self._head:
            self._connection.transport.write(self._head + data)
            self._head = None
        else:
            self._head = data
            self._connection.loop.call_soon(self._send_head)

    def _send_head(self) -> None:
        if self._head:
            self._connection.transport.write(self._head)
            self._head = None

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._connection.transport.is_closing()

    def close(self) -> None:
        """Close in good time."""
        self._send_head()
        self._connection.leave()
