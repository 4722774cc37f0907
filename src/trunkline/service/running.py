"""A server at work: it takes requests until a signal comes, and ends once what is under way is answered."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from trunkline.service.connections import Crowd

if TYPE_CHECKING:
    from trunkline.service.app import Service

_LEAST = 0.3  # seconds for whoever asks whether the server is ready to see that it is not
_LAST = 2  # seconds for answers to leave once all are given
_STUCK = 10.0  # seconds for the engine to end after that
_BACKLOG = 2_048


@dataclass(frozen=True)
class Started:
    """What `serve` says once it takes requests.

    Attributes:
        address: As "http://127.0.0.1:8080".
        models, trunks: How many are served.
        failed: What could not be loaded, and why.
    """

    address: str
    models: int
    trunks: int
    failed: dict[str, str]


class Server(uvicorn.Server):
    """Ends with status 0 once what is under way is answered; a second signal ends it at once.

    Args:
        config: For uvicorn.
        service: What it serves.
        up: Called once requests are taken.
    """

    def __init__(self, config: uvicorn.Config, service: Service, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._up = up
        self._since: float | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The base would raise the signal again at the end, and the status would not be 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.draining:
            os._exit(128 + sig)
        self._service.draining = True
        # A trunk that does not come back would keep its thread, and with it this process.
        last = threading.Timer(self._service.limits.drain_seconds + _STUCK, os._exit, (1,))
        last.daemon = True
        last.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up()

    async def on_tick(self, counter: int) -> bool:
        await super().on_tick(counter)
        if not self._service.draining:
            return False
        now = time.monotonic()
        self._since = self._since or now
        answered = now - self._since >= _LEAST and not self._service.under_way
        return answered or now - self._since >= self._service.limits.drain_seconds


def run(service: Service, listener: socket.socket, host: str, started: Callable[[Started], None]) -> None:
    """Take requests until the service drains and the last request is answered.

    Args:
        service: What is served.
        listener: A socket that is bound.
        host: The address that it was bound to.
        started: Told once requests are taken.
    """

    def up() -> None:
        catalogue = service.catalogue
        models = sum(map(len, catalogue.table.values()))
        started(Started(_address(host, listener), models, len(catalogue.trunks), dict(catalogue.failed)))

    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # what matters is told by the service
    http: Any = Crowd(service.limits, service.metrics).protocol
    config = uvicorn.Config(
        service.app(host), http=http, loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, backlog=_BACKLOG, timeout_graceful_shutdown=_LAST,
        timeout_keep_alive=service.limits.idle_seconds,
    )  # fmt: skip
    Server(config, service, up).run(sockets=[listener])


def _address(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
