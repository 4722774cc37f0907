"""What stands before every request: is it meant for this server, does it come from a page of somebody else's, does the
server still take requests.

A server on a loopback address is reached by every page that a browser of this machine shows. Two checks keep those out:
the `Host` must be a loopback name (else a foreign name could be made to point here), and an `Origin` must be ours.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trunkline.core.text import cut
from trunkline.service.refusals import Refusal, draining

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from trunkline.service.app import Service

_WHILE_DRAINING = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})


class Guard:
    """An ASGI application round the service's own.

    Args:
        app: The service's routes.
        service: Its state.
        host: The address that the server is bound to.
    """

    def __init__(self, app: ASGIApp, service: Service, host: str) -> None:
        self._app = app
        self._service = service
        self._loopback = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except Refusal as refusal:
            response = self._service.refused("other", refusal)
            await response(scope, receive, send)
            return
        self._service.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._service.under_way -= 1

    def _check(self, scope: Scope) -> None:
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if sum(name == b"host" for name, _ in scope["headers"]) != 1 and scope["http_version"] != "1.0":
            raise Refusal(400, "invalid", "expected one Host header")
        if self._loopback and host and not is_loopback(_name(host)):
            raise Refusal(
                421, "foreign", f"this server answers to localhost, got the Host {cut(host)!r}; a proxy before it must "
                "send Host: localhost",
            )  # fmt: skip
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and _site(origin) != host:
            raise Refusal(403, "foreign", f"pages of {cut(origin)!r} may not ask this server")
        if self._service.draining and scope["path"] not in _WHILE_DRAINING:
            raise draining()


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _site(origin: str) -> str | None:
    """Name and port in an Origin header; None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name or address in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
