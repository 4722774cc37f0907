"""Reading the body of a request: whole, in time, and no more of it than is allowed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from trunkline.core.text import cut
from trunkline.service.refusals import Refusal, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

    from trunkline.service.limits import Limits
    from trunkline.service.room import Seat


class GoneError(Exception):
    """The client has gone; nobody waits for an answer."""


async def read_body(request: Request, limits: Limits, seat: Seat) -> bytearray:
    """The body of a request.

    Raises:
        Refusal: When it is compressed, too large or too slow, or when all requests together hold too much.
        GoneError: When the client went away.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refusal(415, "compressed", f"expected a body that is not compressed, got {cut(encoding)!r}")
    length = request.headers.get("content-length", "0")  # digits, the parser sees to it
    if len(length) > 18 or int(length) > limits.body_bytes:
        raise too_large(limits.body_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            while await _more(request, body, limits, seat):
                pass
    except TimeoutError as error:
        message = f"expected the whole body within {limits.body_seconds:g} seconds, got {len(body):,} bytes"
        raise Refusal(408, "slow", message, {"Connection": "close"}) from error
    return body


async def _more(request: Request, body: bytearray, limits: Limits, seat: Seat) -> bool:
    """Read a part; whether more is to come."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise GoneError
    part = message.get("body", b"")
    if len(body) + len(part) > limits.body_bytes:
        raise too_large(limits.body_bytes)
    seat.take(len(part))
    body += part
    return bool(message.get("more_body", False))
